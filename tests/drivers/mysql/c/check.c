/* libmariadb, the client library of C, of which the command lines, PHP, Perl, Ruby and mysqlclient are made. */
#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int tls;

static void fail(const char* what, const char* why) {
  printf("FAILED: %s: %s\n", what, why);
  exit(1);
}

static void equal(long long actual, long long expected, const char* what) {
  char text[100];
  snprintf(text, sizeof text, "%lld, expected %lld", actual, expected);
  if (actual != expected) fail(what, text);
  printf("   %s\n", what);
}

static MYSQL* connect_with(unsigned long flags) {
  MYSQL* one = mysql_init(NULL);
  my_bool enforce = tls ? 1 : 0, verify = 0;
  unsigned int local = 1;
  mysql_options(one, MYSQL_OPT_SSL_ENFORCE, &enforce);
  mysql_options(one, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
  mysql_options(one, MYSQL_OPT_LOCAL_INFILE, &local);
  mysql_options(one, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  if (!mysql_real_connect(one, getenv("DB_HOST"), getenv("DB_USER"), getenv("DB_PASSWORD"), getenv("DB_NAME"),
                          (unsigned)atoi(getenv("DB_PORT")), NULL, flags))
    fail("connect", mysql_error(one));
  return one;
}

static void run(MYSQL* one, const char* sql) {
  if (mysql_query(one, sql)) fail(sql, mysql_error(one));
  MYSQL_RES* result = mysql_store_result(one);
  if (result) mysql_free_result(result);
}

static long long number(MYSQL* one, const char* sql) {
  if (mysql_query(one, sql)) fail(sql, mysql_error(one));
  MYSQL_RES* result = mysql_store_result(one);
  MYSQL_ROW row = result ? mysql_fetch_row(result) : NULL;
  if (!row || !row[0]) fail(sql, "no value");
  const long long value = atoll(row[0]);
  mysql_free_result(result);
  return value;
}

static MYSQL_STMT* prepare(MYSQL* one, const char* sql) {
  MYSQL_STMT* statement = mysql_stmt_init(one);
  if (mysql_stmt_prepare(statement, sql, strlen(sql))) fail(sql, mysql_stmt_error(statement));
  return statement;
}

static void execute(MYSQL_STMT* statement) {
  if (mysql_stmt_execute(statement)) fail("execute", mysql_stmt_error(statement));
}

static MYSQL_BIND number_bind(long long* value) {
  MYSQL_BIND bind;
  memset(&bind, 0, sizeof bind);
  bind.buffer_type = MYSQL_TYPE_LONGLONG;
  bind.buffer = value;
  return bind;
}

enum { kClients = 5 };

static void interleaved(void) {
  MYSQL* clients[kClients];
  MYSQL_STMT* sums[kClients];
  long long a, b, sum;
  for (int i = 0; i < kClients; i++) {
    clients[i] = connect_with(0);
    sums[i] = prepare(clients[i], "SELECT CAST(? + ? AS SIGNED)");
  }
  for (int step = 0; step < 10; step++) {
    for (int i = 0; i < kClients; i++) {
      MYSQL_BIND in[2] = {number_bind(&a), number_bind(&b)}, out = number_bind(&sum);
      a = step, b = i;
      mysql_stmt_bind_param(sums[i], in);
      execute(sums[i]);
      mysql_stmt_bind_result(sums[i], &out);
      if (mysql_stmt_fetch(sums[i]) || sum != step + i) fail("interleaved", "a wrong sum");
      mysql_stmt_free_result(sums[i]);
    }
  }
  for (int i = 0; i < kClients; i++) {
    mysql_stmt_close(sums[i]);
    mysql_close(clients[i]);
  }
  printf("   prepared statements of interleaved connections\n");
}

static void cursor(MYSQL* one) {
  unsigned long type = CURSOR_TYPE_READ_ONLY, rows = 50;
  long long id, seen = 0;
  MYSQL_STMT* statement = prepare(one, "SELECT id FROM items ORDER BY id");
  mysql_stmt_attr_set(statement, STMT_ATTR_CURSOR_TYPE, &type);
  mysql_stmt_attr_set(statement, STMT_ATTR_PREFETCH_ROWS, &rows);
  for (int again = 0; again < 2; again++) {
    execute(statement);
    MYSQL_BIND out = number_bind(&id);
    mysql_stmt_bind_result(statement, &out);
    while (!mysql_stmt_fetch(statement)) seen++;
    mysql_stmt_free_result(statement);
  }
  execute(statement);  // and leaves it half read
  if (mysql_stmt_fetch(statement)) fail("cursor", mysql_stmt_error(statement));
  mysql_stmt_close(statement);
  equal(seen, 2 * 1000, "cursor");
}

static void long_data(MYSQL* one) {
  long long n = 1;
  MYSQL_BIND in[2] = {number_bind(&n)};
  char piece[10000];
  MYSQL_STMT* statement = prepare(one, "REPLACE INTO big VALUES (?, ?)");
  memset(&in[1], 0, sizeof in[1]);
  in[1].buffer_type = MYSQL_TYPE_BLOB;
  mysql_stmt_bind_param(statement, in);
  memset(piece, 'p', sizeof piece);
  for (int i = 0; i < 100; i++)
    if (mysql_stmt_send_long_data(statement, 1, piece, sizeof piece)) fail("long data", mysql_stmt_error(statement));
  execute(statement);
  mysql_stmt_close(statement);
  equal(number(one, "SELECT LENGTH(data) FROM big WHERE n = 1 AND data = REPEAT('p', 1000000)"), 1000000, "long data");
}

static void several(void) {
  MYSQL* one = connect_with(CLIENT_MULTI_STATEMENTS);
  long long sum = 0;
  int more;
  if (mysql_query(one, "SELECT 1; UPDATE items SET amount = 2; SELECT 3")) fail("several", mysql_error(one));
  do {
    MYSQL_RES* result = mysql_store_result(one);
    if (result) {
      sum += atoll(mysql_fetch_row(result)[0]);
      mysql_free_result(result);
    } else {
      sum += (long long)mysql_affected_rows(one);
    }
  } while ((more = mysql_next_result(one)) == 0);
  if (more > 0) fail("several", mysql_error(one));
  equal(sum, 1004, "several statements");
  if (mysql_query(one, "SELECT 1; SELECT nothing_like_it; SELECT 2")) fail("several", mysql_error(one));
  mysql_free_result(mysql_store_result(one));
  equal(mysql_next_result(one), 1, "an error among several");
  equal(mysql_errno(one), 1054, "its number");
  equal(number(one, "SELECT 5"), 5, "after it");
  mysql_close(one);
}

static void procedure(void) {
  MYSQL* one = connect_with(0);
  long long in = 4, out = 0, doubled = 0;
  MYSQL_BIND bind[2] = {number_bind(&in), number_bind(&out)}, result;
  MYSQL_STMT* call = prepare(one, "CALL two_results(?, ?)");
  mysql_stmt_bind_param(call, bind);
  execute(call);
  do {
    if (!mysql_stmt_field_count(call)) continue;
    if (one->server_status & SERVER_PS_OUT_PARAMS) {
      result = number_bind(&doubled);
      mysql_stmt_bind_result(call, &result);
      while (!mysql_stmt_fetch(call)) continue;
    }
    mysql_stmt_free_result(call);
  } while (mysql_stmt_next_result(call) == 0);
  mysql_stmt_close(call);
  mysql_close(one);
  equal(doubled, 8, "a prepared procedure's parameter");
}

static void reset(void) {
  MYSQL* one = connect_with(0);
  run(one, "SET time_zone = '+09:00', @mine = 5");
  equal(number(one, "SELECT @mine + (@@time_zone = '+09:00')"), 6, "session state");
  if (mysql_reset_connection(one)) fail("reset", mysql_error(one));
  equal(number(one, "SELECT @mine IS NULL AND @@time_zone = '+00:00'"), 1, "reset");
  equal(mysql_select_db(one, "billing"), 0, "another schema");
  equal(number(one, "SELECT DATABASE() = 'billing'"), 1, "it is that");
  equal(mysql_ping(one), 0, "ping");
  equal(mysql_stat(one) != NULL, 1, "statistics");
  equal(mysql_set_server_option(one, MYSQL_OPTION_MULTI_STATEMENTS_ON), 0, "several statements from now on");
  run(one, "DO 1");
  mysql_close(one);
}

static void change_user(void) {
  MYSQL* one = connect_with(0);
  const unsigned long number_before = mysql_thread_id(one);
  run(one, "SET time_zone = '+09:00', @mine = 5");
  if (mysql_change_user(one, getenv("DB_USER"), getenv("DB_PASSWORD"), "billing")) fail("change user", mysql_error(one));
  equal(number(one, "SELECT @mine IS NULL AND @@time_zone = '+00:00' AND DATABASE() = 'billing'"), 1, "change user");
  equal((long long)mysql_thread_id(one), (long long)number_before, "it keeps its number");
  equal(mysql_change_user(one, getenv("DB_USER"), "no", "billing") != 0, 1, "change user with another password");
  equal(mysql_errno(one), 1045, "its error");
  mysql_close(one);
}

int main(void) {
  tls = !strcmp(getenv("DB_TLS"), "1");
  MYSQL* one = connect_with(0);
  char sql[300];
  run(one, "DELETE FROM items");
  MYSQL_STMT* insert = prepare(one, "INSERT INTO items (name, amount) VALUES (CONCAT('n', ?), ?)");
  long long n, amount = 1;
  MYSQL_BIND in[2] = {number_bind(&n), number_bind(&amount)};
  mysql_stmt_bind_param(insert, in);
  mysql_autocommit(one, 0);
  for (n = 0; n < 1000; n++) execute(insert);
  mysql_commit(one);
  run(one, "DELETE FROM items");
  mysql_rollback(one);
  mysql_autocommit(one, 1);
  mysql_stmt_close(insert);
  equal(number(one, "SELECT COUNT(*) FROM items"), 1000, "commit and rollback");
  interleaved();
  cursor(one);
  long_data(one);
  several();
  procedure();
  reset();
  change_user();
  snprintf(sql, sizeof sql, "LOAD DATA LOCAL INFILE '%s' INTO TABLE items FIELDS TERMINATED BY ',' (name, amount)",
           getenv("DB_FILE"));
  run(one, sql);
  equal((long long)mysql_affected_rows(one), 5000, "LOAD DATA LOCAL");
  mysql_close(one);
  printf("pins opaque cursor long_data\n");
  return 0;
}
