// MySQL Connector/J and MariaDB Connector/J: with their default settings, and with those that change how they speak.
import java.math.BigDecimal;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.sql.Types;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

public class Check {
  static final boolean TLS = System.getenv("DB_TLS").equals("1");
  static boolean mariadb;
  static String options;

  static Connection connect(String more) throws SQLException {
    var env = System.getenv();
    String tls = mariadb ? "&sslMode=" + (TLS ? "trust" : "disable") : "&sslMode=" + (TLS ? "REQUIRED" : "DISABLED");
    return DriverManager.getConnection("jdbc:" + (mariadb ? "mariadb" : "mysql") + "://" + env.get("DB_HOST") + ":"
        + env.get("DB_PORT") + "/" + env.get("DB_NAME") + "?" + options + more + tls, env.get("DB_USER"),
        env.get("DB_PASSWORD"));
  }

  static Connection connect() throws SQLException {
    return connect("");
  }

  static void equal(Object actual, Object expected, String what) {
    if (!Objects.equals(actual, expected)) {
      throw new AssertionError(what + ": " + actual + ", expected " + expected + " with " + options);
    }
    System.out.println("   " + what); System.out.flush();
  }

  static Object value(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
      rows.next();
      return rows.getObject(1);
    }
  }

  static long number(Connection connection, String sql) throws SQLException {
    return ((Number) value(connection, sql)).longValue();
  }

  static int refusal(Connection connection, String sql) {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
      return 0;
    } catch (SQLException error) {
      return error.getErrorCode();
    }
  }

  static void types(Connection connection) throws SQLException {
    refusal(connection, "DELETE FROM kinds");
    for (int run = 0; run < 3; run++) {  // the later runs with types that were sent before
      try (PreparedStatement into = connection.prepareStatement("INSERT INTO kinds VALUES (?, ?, ?, ?, ?, ?, ?)")) {
        into.setInt(1, run);
        into.setString(2, "naïve ☃");
        into.setBigDecimal(3, new BigDecimal("12.34"));
        into.setBytes(4, new byte[] {0, -1});
        into.setString(5, null);
        into.setTimestamp(6, Timestamp.valueOf("2026-01-02 03:04:05"));
        into.setDouble(7, 1.5);
        into.executeUpdate();
      }
      try (PreparedStatement from = connection.prepareStatement("SELECT * FROM kinds WHERE i = ?")) {
        from.setInt(1, run);
        ResultSet row = from.executeQuery();
        row.next();
        if (row.getInt(1) != run || !row.getString(2).equals("naïve ☃")
            || !row.getBigDecimal(3).equals(new BigDecimal("12.34")) || row.getBytes(4)[1] != -1
            || row.getString(5) != null || !row.getTimestamp(6).equals(Timestamp.valueOf("2026-01-02 03:04:05"))
            || row.getDouble(7) != 1.5) {
          throw new AssertionError("types in run " + run + " with " + options);
        }
      }
    }
    System.out.println("   types");
  }

  static void transactions(Connection connection) throws SQLException {
    refusal(connection, "DELETE FROM items");
    connection.setAutoCommit(false);
    refusal(connection, "INSERT INTO items (name) VALUES ('rolled back')");
    connection.rollback();
    refusal(connection, "INSERT INTO items (name) VALUES ('kept')");
    var inside = connection.setSavepoint();
    refusal(connection, "INSERT INTO items (name) VALUES ('inside')");
    connection.rollback(inside);
    connection.commit();
    equal(value(connection, "SELECT GROUP_CONCAT(name) FROM items"), "kept", "commit, rollback, savepoint");
    connection.rollback();
    equal(refusal(connection, "INSERT INTO items (name) VALUES ('kept')"), 1062, "error");
    connection.rollback();
    connection.setAutoCommit(true);
    try (PreparedStatement one = connection.prepareStatement("INSERT INTO items (name) VALUES (?)",
             Statement.RETURN_GENERATED_KEYS)) {
      one.setString(1, "numbered");
      one.executeUpdate();
      ResultSet keys = one.getGeneratedKeys();
      keys.next();
      equal(number(connection, "SELECT id FROM items WHERE name = 'numbered'"), keys.getLong(1), "generated keys");
    }
  }

  static void interleaved(List<Connection> connections) throws SQLException {
    List<PreparedStatement> sums = new ArrayList<>(), names = new ArrayList<>();
    for (Connection each : connections) {
      sums.add(each.prepareStatement("SELECT ? + ?"));
      names.add(each.prepareStatement("SELECT name FROM items WHERE name = ?"));
    }
    for (int step = 0; step < 8; step++) {
      for (int number = 0; number < connections.size(); number++) {
        sums.get(number).setInt(1, step);
        sums.get(number).setInt(2, number);
        ResultSet row = sums.get(number).executeQuery();
        row.next();
        names.get(number).setString(1, "kept");
        ResultSet name = names.get(number).executeQuery();
        if (row.getInt(1) != step + number || !name.next() || !name.getString(1).equals("kept")) {
          throw new AssertionError("wrong sum with " + options);
        }
      }
    }
    for (PreparedStatement each : sums) each.close();
    for (PreparedStatement each : names) each.close();
    System.out.println("   prepared statements of interleaved connections");
  }

  static void batch(Connection connection) throws SQLException {
    connection.setAutoCommit(false);
    try (PreparedStatement batch = connection.prepareStatement("INSERT INTO items (name, amount) VALUES (?, ?)")) {
      for (int number = 0; number < 500; number++) {
        batch.setString(1, "many " + number);
        batch.setInt(2, number);
        batch.addBatch();
      }
      equal(batch.executeBatch().length, 500, "batch");
    }
    connection.commit();
    equal(number(connection, "SELECT SUM(amount) FROM items WHERE name LIKE 'many %'"), 124750L, "its rows");
    connection.rollback();
    connection.setAutoCommit(true);
  }

  static void state(Connection one, Connection two) throws SQLException {
    String question = "SELECT CONCAT(@@time_zone, DATABASE(), @@sql_mode LIKE '%ANSI_QUOTES%')";
    Object before = value(two, question);
    refusal(one, "SET time_zone = '+05:00', SESSION sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')");
    one.setCatalog("billing");
    one.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
    for (int step = 0; step < 3; step++) {
      equal(value(one, question), "+05:00billing1", "session state");
      equal(value(two, question), before, "session state of another");
    }
    equal(two.getTransactionIsolation(), Connection.TRANSACTION_REPEATABLE_READ, "isolation of another");
    two.setReadOnly(true);
    if (!mariadb && !two.getMetaData().getDatabaseProductVersion().contains("MariaDB")) {  // where the driver sends it
      equal(number(two, "SELECT CAST(@@SESSION.transaction_read_only AS SIGNED)"), 1L, "read only");
    }
    two.setReadOnly(false);
  }

  static void several() throws SQLException {
    try (Connection one = connect("&allowMultiQueries=true"); Statement statement = one.createStatement()) {
      statement.execute("SELECT 1; UPDATE items SET amount = 1 WHERE name = 'kept'; SELECT 2");
      ResultSet first = statement.getResultSet();
      first.next();
      int sum = first.getInt(1);
      statement.getMoreResults();
      equal(statement.getUpdateCount(), 1, "several statements");
      statement.getMoreResults();
      ResultSet last = statement.getResultSet();
      last.next();
      equal(sum + last.getInt(1), 3, "their results");
    }
  }

  // It may leave anything behind: the client is pinned, and its server connection is closed with it.
  static void procedure() throws SQLException {
    try (Connection one = connect(); CallableStatement call = one.prepareCall("{call two_results(?, ?)}")) {
      call.setInt(1, 4);
      call.registerOutParameter(2, Types.INTEGER);
      boolean more = call.execute();
      List<String> seen = new ArrayList<>();
      while (more) {
        ResultSet rows = call.getResultSet();
        rows.next();
        seen.add(rows.getString(1));
        more = call.getMoreResults();
      }
      equal(seen, List.of("4", "5"), "a procedure's results");
      equal(call.getInt(2), 8, "a procedure's parameter");
    }
  }

  static void load() throws SQLException {
    try (Connection one = connect("&allowLoadLocalInfile=true"); Statement statement = one.createStatement()) {
      one.setAutoCommit(false);
      equal(statement.executeUpdate("LOAD DATA LOCAL INFILE '" + System.getenv("DB_FILE")
          + "' INTO TABLE items FIELDS TERMINATED BY ',' (name, amount)"), 5000, "LOAD DATA LOCAL");
      one.rollback();
    }
  }

  static void big(Connection connection) throws SQLException {
    byte[] data = new byte[17_000_000];
    new Random(7).nextBytes(data);
    refusal(connection, "DELETE FROM big");
    try (PreparedStatement into = connection.prepareStatement("INSERT INTO big VALUES (?, ?)")) {
      into.setInt(1, 1);
      into.setBytes(2, data);
      into.executeUpdate();
    }
    try (PreparedStatement from = connection.prepareStatement("SELECT data FROM big WHERE n = ?")) {
      from.setInt(1, 1);
      ResultSet row = from.executeQuery();
      row.next();
      equal(Arrays.equals(row.getBytes(1), data), true, "packets over 16 MB");
    }
    refusal(connection, "DELETE FROM big");
  }

  static void fetchSize(Connection connection) throws SQLException {
    try (PreparedStatement rows = connection.prepareStatement("SELECT a.id FROM items a, items b WHERE b.id < ?")) {
      rows.setFetchSize(mariadb || options.contains("useCursorFetch") ? 100 : Integer.MIN_VALUE);
      rows.setInt(1, 1 << 30);
      long count = 0;
      ResultSet row = rows.executeQuery();
      while (row.next()) count++;
      row.close();
      long items = number(connection, "SELECT COUNT(*) FROM items");
      equal(count, items * items, "fetch size");
    }
  }

  static void cancel(Connection connection) throws Exception {
    Statement sleeper = connection.createStatement();
    int[] code = new int[1];
    Thread thread = new Thread(() -> {
      try {
        sleeper.execute("SELECT SLEEP(60) FROM items WHERE name = 'kept'");
        code[0] = 1317;
      } catch (SQLException error) {
        code[0] = error.getErrorCode() == 0 ? 1317 : error.getErrorCode();
      }
    });
    thread.start();
    while (thread.isAlive()) {
      thread.join(200);
      sleeper.cancel();
    }
    equal(code[0], 1317, "cancel");
    sleeper.close();
    equal(number(connection, "SELECT 1"), 1L, "after the cancel");
  }

  static void changeUser() throws Exception {
    try (Connection one = connect()) {
      refusal(one, "SET time_zone = '+09:00'");
      one.getClass().getMethod("changeUser", String.class, String.class)  // of JdbcConnection
          .invoke(one, System.getenv("DB_USER"), System.getenv("DB_PASSWORD"));
      equal(number(one, "SELECT @@time_zone = '+00:00'"), 1L, "changeUser");
    }
  }

  static void threads() throws Exception {
    var pool = Executors.newFixedThreadPool(16);
    List<Callable<Integer>> work = new ArrayList<>();
    for (int each = 0; each < 16; each++) {
      int number = each;
      work.add(() -> {
        int wrong = 0;
        try (Connection one = connect(); PreparedStatement sum = one.prepareStatement("SELECT ? + ?")) {
          for (int step = 0; step < 20; step++) {
            sum.setInt(1, number);
            sum.setInt(2, step);
            ResultSet row = sum.executeQuery();
            row.next();
            if (row.getInt(1) != number + step) wrong++;
          }
        }
        return wrong;
      });
    }
    int wrong = 0;
    for (Future<Integer> done : pool.invokeAll(work)) wrong += done.get();
    pool.shutdown();
    equal(wrong, 0, "threads");
  }

  static void check(String with) throws Exception {
    options = with;
    System.out.println("   -- " + (with.isEmpty() ? "default settings" : with));
    List<Connection> connections = new ArrayList<>();
    for (int number = 0; number < 5; number++) connections.add(connect());
    types(connections.get(0));
    transactions(connections.get(0));
    interleaved(connections);
    batch(connections.get(1));
    fetchSize(connections.get(2));
    several();
    load();
    if (!TLS && !with.contains("atch") && !with.contains("Bulk")) big(connections.get(3));
    if (!with.contains("useCursorFetch")) cancel(connections.get(4));  // the driver ends its own cursors by it
    state(connections.get(3), connections.get(4));
    for (Connection each : connections) each.close();
    procedure();
    if (!mariadb) changeUser();
    threads();
  }

  public static void main(String[] arguments) throws Exception {
    mariadb = arguments[0].equals("mariadb-java");
    // With TLS what the settings change is the same once more.
    if (mariadb) {
      check("");
      if (!TLS) check("useServerPrepStmts=true");
      if (!TLS) check("useBulkStmts=true&allowMultiQueries=true&useServerPrepStmts=true");
    } else {
      check("");
      check("useServerPrepStmts=true&cachePrepStmts=true");
      if (!TLS) check("rewriteBatchedStatements=true");
      if (!TLS) check("useServerPrepStmts=true&useCursorFetch=true&defaultFetchSize=100");
    }
    System.out.println(mariadb || TLS ? "pins opaque" : "pins opaque cursor");
  }
}
