"""What generated scripts are made of: the schema that they are played in, and statements that make, change, undo and
look at session state."""

SCHEMA = [
    "CREATE TABLE numbers (n INT PRIMARY KEY)", "INSERT INTO numbers VALUES (1), (2), (3), (4), (5)",
    "CREATE TABLE made (id INT AUTO_INCREMENT PRIMARY KEY, b VARCHAR(20))", "CREATE TABLE small (n TINYINT)",
    "CREATE TABLE here (tag VARCHAR(20), a INT)", "INSERT INTO here VALUES (DATABASE(), 1)",
    "CREATE TABLE log (a INT)", "CREATE TRIGGER traced BEFORE INSERT ON log FOR EACH ROW SET @traced = NEW.a",
    "CREATE TABLE tuned (a INT)",
    "CREATE TRIGGER tunes BEFORE INSERT ON tuned FOR EACH ROW SET SESSION max_sort_length = 44 + NEW.a",
    "CREATE FUNCTION fv() RETURNS INT NO SQL BEGIN SET @fv = 7; RETURN 1; END",
    "CREATE FUNCTION uses() RETURNS INT NO SQL RETURN fv()", "CREATE FUNCTION harmless(n INT) RETURNS INT NO SQL RETURN n + 1",
    "CREATE FUNCTION tunes() RETURNS INT NO SQL BEGIN SET SESSION div_precision_increment = 8; RETURN 1; END",
    "CREATE FUNCTION locks() RETURNS INT READS SQL DATA RETURN (SELECT GET_LOCK(CONCAT('f', tag), 0) FROM here)",
    "CREATE FUNCTION adds() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO made (b) VALUES ('f'); RETURN ROW_COUNT(); END",
    "CREATE FUNCTION keeps(n INT) RETURNS INT NO SQL RETURN LAST_INSERT_ID(n)",
    "CREATE VIEW through AS SELECT fv() AS a", "CREATE VIEW plain AS SELECT n FROM numbers",
    "CREATE PROCEDURE sets() SET SESSION div_precision_increment = 7, @p = 1",
    "CREATE PROCEDURE two() BEGIN SELECT 1; SELECT 'x', 2; END",
    "CREATE PROCEDURE modes() SET SESSION sql_mode = 'ANSI_QUOTES', time_zone = '+02:00'",
    "CREATE PROCEDURE latin() SET NAMES latin1",
    "CREATE PROCEDURE temporary() BEGIN CREATE TEMPORARY TABLE IF NOT EXISTS tmp (a INT); INSERT INTO tmp VALUES (3); END",
    "CREATE PROCEDURE dynamic() BEGIN PREPARE q FROM 'SET @d = 4'; EXECUTE q; END",
    "CREATE PROCEDURE begins() BEGIN START TRANSACTION; INSERT INTO made (b) VALUES ('p'); END",
    "CREATE PROCEDURE commits() COMMIT", "CREATE PROCEDURE autocommits(a INT) SET autocommit = a",
    "CREATE PROCEDURE out_one(OUT o INT, INOUT i INT) BEGIN SET o = 5; SET i = i + 1; SELECT o + i; END",
    "CREATE PROCEDURE warns() BEGIN SIGNAL SQLSTATE '01000' SET MESSAGE_TEXT = 'a warning', MYSQL_ERRNO = 1000; END",
    "CREATE PROCEDURE fails() BEGIN SET max_sort_length = 321; SELECT 1; SIGNAL SQLSTATE '45000'; END",
    "CREATE PROCEDURE adds() BEGIN INSERT INTO made (b) VALUES ('a'), ('b'); UPDATE made SET b = 'c'; END",
    "CREATE PROCEDURE isolates() SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "CREATE PROCEDURE next_one() SET TRANSACTION READ ONLY",
    "CREATE PROCEDURE locked() DO (SELECT GET_LOCK(CONCAT('l', tag), 0) FROM here)",
    "CREATE PROCEDURE counts() BEGIN DECLARE c INT; SELECT COUNT(*) INTO c FROM numbers; END",
]
# Before each script; behind `? WORD:` where the last one had that word, or came to no end. LANE: where keys begin.
CLEANING = [
    "? lock: DO (SELECT GET_LOCK(CONCAT('l', tag), 9) FROM here), (SELECT GET_LOCK(CONCAT('f', tag), 9) FROM here)",
    "? lock: DO RELEASE_ALL_LOCKS()", "DELETE FROM made", "DELETE FROM small", "DELETE FROM log", "DELETE FROM tuned",
    "? !: TRUNCATE made", "? !: ALTER TABLE made AUTO_INCREMENT = LANE",
    "? renewed: DROP FUNCTION IF EXISTS renewed", "? fresh: DROP TABLE IF EXISTS fresh",
    "? fresh: DROP VIEW IF EXISTS fresh_view",
    "? fresh: DROP TABLE IF EXISTS billing.fresh", "? fresh: DROP VIEW IF EXISTS billing.fresh_view",
    "? renewed: DROP FUNCTION IF EXISTS billing.renewed",
]

VARIABLES = {
    "sql_mode": ["'ANSI_QUOTES'", "''", "'NO_BACKSLASH_ESCAPES'", "DEFAULT", "CONCAT(@@sql_mode, ',PIPES_AS_CONCAT')",
                 "'TRADITIONAL'", "'ANSI'"],
    "time_zone": ["'+03:00'", "'-05:30'", "DEFAULT", "'SYSTEM'"], "wait_timeout": ["100", "DEFAULT", "200"],
    "max_sort_length": ["100", "2000", "DEFAULT", "@@global.max_sort_length", "100 + 1"],
    "div_precision_increment": ["1", "9", "DEFAULT"],
    "autocommit": ["0", "1", "ON"], "foreign_key_checks": ["0", "1", "DEFAULT"], "unique_checks": ["0", "1", "DEFAULT"],
    "sql_safe_updates": ["0", "1", "DEFAULT"], "sql_notes": ["0", "1"], "sql_select_limit": ["2", "DEFAULT"],
    "character_set_results": ["NULL", "latin1", "utf8mb4"], "collation_connection": ["utf8mb4_bin", "latin1_swedish_ci"],
    "character_set_client": ["latin1", "utf8mb4", "gbk"], "character_set_connection": ["latin1", "utf8mb4"],
    "group_concat_max_len": ["8", "DEFAULT"], "lc_time_names": ["'de_DE'", "DEFAULT"], "sql_auto_is_null": ["0", "1"],
    "transaction_isolation": ["'READ-COMMITTED'", "'SERIALIZABLE'", "DEFAULT"], "lock_wait_timeout": ["2", "DEFAULT"],
    "innodb_lock_wait_timeout": ["2", "DEFAULT"], "sql_big_selects": ["0", "1", "DEFAULT"], "nonsense": ["1"],
    "max_connections": ["7"], "default_storage_engine": ["MyISAM", "DEFAULT"], "sql_warnings": ["0", "1"],
    "completion_type": ["1", "0"], "low_priority_updates": ["0", "1"], "max_error_count": ["0", "3", "DEFAULT"],
    "default_week_format": ["3", "DEFAULT"], "big_tables": ["0", "1"], "tmp_table_size": ["1024", "DEFAULT"],
    "transaction_read_only": ["1", "0"], "max_heap_table_size": ["16384", "DEFAULT"],
    "optimizer_switch": ["'index_merge=off'", "DEFAULT"], "sort_buffer_size": ["65536", "DEFAULT"],
    "net_read_timeout": ["33", "DEFAULT"], "auto_increment_increment": ["1", "DEFAULT"], "max_join_size": ["9999", "DEFAULT"],
    "long_query_time": ["3.5", "DEFAULT"], "old_alter_table": ["0", "1"], "updatable_views_with_limit": ["NO", "YES"],
}
ONLY_MYSQL = {"transaction_isolation", "transaction_read_only"}
# Names of others above, and what one of them changes.
MARIADB_VARIABLES = {"log_slow_query_time": ["2.5", "DEFAULT"], "alter_algorithm": ["COPY", "DEFAULT"],
                     "tmp_memory_table_size": ["2048", "DEFAULT"], "tx_isolation": ["'READ-COMMITTED'", "DEFAULT"],
                     "storage_engine": ["MyISAM", "DEFAULT"], "old": ["1", "0"]}
NOT_AUDITED = {"nonsense", "max_connections"}
USER_VARIABLES = ("@v", "@w", "@z", "@p", "@fv", "@traced", "@d", "@o", "@i", "@'quoted'")
LOOK_AT_VARIABLES = "SELECT " + ", ".join(f"CAST({name} AS CHAR(9))" for name in USER_VARIABLES)
LOOK_AT_SCHEMA = "SELECT DATABASE() = 'billing'"
LOOKS = [
    LOOK_AT_VARIABLES, LOOK_AT_SCHEMA, "SELECT 7/3", "SELECT 'a\\\\b', \"x\"",
    "SELECT a FROM here ORDER BY a", "SELECT COUNT(*) FROM tmp", "EXECUTE s", "EXECUTE q",
    "SELECT IS_FREE_LOCK(CONCAT('l', tag)), IS_FREE_LOCK(CONCAT('f', tag)) FROM here",
    "SELECT DATE_FORMAT('2024-01-02', '%W'), FROM_UNIXTIME(0)", "SELECT GROUP_CONCAT(n) FROM numbers", "SELECT 'x' || 'y'",
    "SELECT CHARSET('a'), COLLATION('a')", "SELECT n FROM numbers", "SELECT * FROM numbers WHERE n > 3 ORDER BY n",
    "SELECT LAST_INSERT_ID()", "SELECT USER() LIKE 'native@%', CURRENT_ROLE()", "SELECT @@session.transaction_read_only",
    "SELECT harmless(2)", "SELECT n FROM plain WHERE n = 2", "SELECT COUNT(*) FROM made", "SELECT renewed()",
    "SELECT @@last_insert_id = 0, @@identity = 0", "SHOW VARIABLES LIKE 'max_sort_length'", "SHOW TABLES LIKE 'numb%'",
    "SELECT id, b FROM made WHERE id = LAST_INSERT_ID()", "SELECT LAST_INSERT_ID() + 1 AS next", "SELECT 'it''s; SET @v = 1'",
    "TABLE nowhere", "SELECT 1 /*!50000 + 1 */", "SELECT COUNT(*) FROM fresh", "SELECT @@autocommit, @@sql_mode <> ''",
]
CHANGES = [
    "SET @v = 5", "SELECT @w := 3", "SELECT 4 INTO @z", "SET @'quoted' = 'x'", "SELECT fv()", "SELECT uses()", "CALL sets()",
    "CALL two()", "INSERT INTO log VALUES (9)", "SELECT RELEASE_ALL_LOCKS()", "SELECT a FROM through", "SELECT tunes()",
    "INSERT INTO tuned VALUES (1)", "CALL modes()", "CALL latin()", "CALL temporary()", "CALL dynamic()", "CALL begins()",
    "CALL commits()", "CALL autocommits(0)", "CALL autocommits(1)", "SET @i = 1; CALL out_one(@o, @i)", "CALL warns()",
    "CALL fails()", "CALL adds()", "CALL isolates()", "CALL next_one()", "CALL counts()", "SELECT adds()", "SELECT keeps(41)",
    "INSERT INTO made (b) VALUES (keeps(3))", "DO fv()", "UPDATE made SET b = fv()", "DELETE FROM made WHERE id < 0 OR fv() = 0",
    "CREATE TEMPORARY TABLE tmp (a INT)", "CREATE TEMPORARY TABLE tmp AS SELECT n FROM numbers",
    "DROP TEMPORARY TABLE tmp", "DROP TABLE IF EXISTS tmp", "DROP TEMPORARY TABLE IF EXISTS tmp", "DROP TABLE tmp",
    "INSERT INTO tmp VALUES (1)", "ALTER TABLE tmp ADD COLUMN c INT",
    "TRUNCATE TABLE tmp", "/*!40000 CREATE TEMPORARY TABLE tmp (a INT) */", "CREATE /* a */ TEMPORARY /* b */ TABLE tmp (a INT)",
    "PREPARE s FROM 'SELECT 5'", "DEALLOCATE PREPARE s", "SET @t = 'SELECT 6'; PREPARE s FROM @t", "DROP PREPARE s",
    "LOCK TABLES numbers READ", "LOCK TABLES numbers READ, here READ", "UNLOCK TABLES", "USE billing",
    "INSERT INTO made (b) VALUES ('x'), ('y')", "INSERT INTO made (b) VALUES ('z')",
    "INSERT INTO made (b) VALUES (LAST_INSERT_ID())", "INSERT INTO made (b) SELECT n FROM numbers WHERE n < 3",
    "INSERT INTO made VALUES (LAST_INSERT_ID() + 3, 'k')", "INSERT INTO made (id, b) SELECT n + 60, 'k' FROM numbers",
    "UPDATE made SET b = 'q' WHERE id = LAST_INSERT_ID()",
    "DELETE FROM made WHERE id = LAST_INSERT_ID()", "INSERT INTO small VALUES (1000)", "SELECT CAST('x' AS SIGNED)", "DO 1/0",
    "SELECT SQL_CALC_FOUND_ROWS n FROM numbers LIMIT 2", "SELECT n FROM numbers LIMIT 3", "SET NAMES latin1", "SET NAMES utf8mb4",
    "SET NAMES utf8mb4 COLLATE utf8mb4_bin", "SET NAMES 'utf8mb4'", "SET CHARACTER SET latin1", "SET CHARSET utf8mb4",
    "SET NAMES DEFAULT", "SET CHARACTER SET DEFAULT", "HANDLER numbers OPEN",
    "HANDLER numbers READ FIRST", "HANDLER numbers CLOSE", "SET TRANSACTION READ ONLY", "INSERT INTO made (b) VALUES (fv())",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY", "SET SESSION TRANSACTION READ WRITE",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SET LOCAL TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SELECT nothing", "SELEC 1", "SIGNAL SQLSTATE '45000'", "SELECT LAST_INSERT_ID(77)", "SET last_insert_id = 5",
    "SET timestamp = 5", "SET timestamp = DEFAULT", "SET insert_id = 55", "SELECT @v := @v + 1", "SET ROLE NONE",
    "SET @@session.sql_mode = 'ANSI', @v = 8", "SET time_zone = '+01:00', nonsense = 1", "SET @@local.max_sort_length = 77",
    "SET max_sort_length = 81, SESSION div_precision_increment = 3, @@session.group_concat_max_len = 99",
    "SET SESSION max_sort_length = (SELECT 90 + MAX(n) FROM numbers)", "set @@MAX_SORT_LENGTH := 82", "SET `max_sort_length` = 83",
    "SET @v = 1, max_sort_length = 84, @w = 2", "SET @v := (SELECT MAX(n) FROM numbers)",
    "SET max_sort_length = @@sort_buffer_size",
    "/*!40101 SET @saved = @@sql_mode, sql_mode = 'NO_AUTO_VALUE_ON_ZERO' */", "/*!40101 SET sql_mode = @saved */",
    "SELECT 1; SET max_sort_length = 500; SELECT 2", "SET sql_notes = 0; SELEC", "INSERT INTO log VALUES (1), (2)",
    "SET max_sort_length = 86; SET max_sort_length = 87; INSERT INTO made (b) VALUES ('m')", "BEGIN; SELECT 1; COMMIT",
    "BEGIN; INSERT INTO made (b) VALUES ('o')", "SELECT 1; SELECT nothing; SET @v = 9", "SET @v = 3; SET nonsense = 2",
    "SELECT n FROM numbers WHERE n = 1 INTO @z", "SELECT n INTO @z FROM numbers WHERE n = 99", "GET DIAGNOSTICS @o = NUMBER",
    "GET DIAGNOSTICS CONDITION 1 @i = RETURNED_SQLSTATE", "SET @w = ROW_COUNT()", "SET @w = LAST_INSERT_ID()",
    "SET @w = (SELECT @@warning_count)", "SHOW WARNINGS", "SHOW ERRORS", "EXPLAIN SELECT 1", "ANALYZE TABLE numbers",
    "SET sql_log_off = 0", "SAVEPOINT b", "ROLLBACK TO b",
    "SET session_track_system_variables = 'time_zone'", "SET session_track_system_variables = 'sql_mode, max_sort_length'",
    "SET SESSION session_track_transaction_info = 'STATE'", "SET @@session.session_track_transaction_info = DEFAULT",
    "SET session_track_transaction_info = CHARACTERISTICS", "SET session_track_schema = OFF",
    "SET session_track_system_variables = 'time_zone', max_sort_length = 91",
    "SELECT 1; SET GLOBAL max_sort_length = 3000", "SET GLOBAL max_sort_length = 3000",
    "SET SESSION debug = ''", "SET SESSION session_track_schema = 1",
    "SET session_track_state_change = 0", "CREATE TABLE fresh (a INT)", "DROP TABLE fresh",
    "ALTER TABLE fresh ADD COLUMN b INT", "CREATE OR REPLACE VIEW fresh_view AS SELECT fv() AS a", "SELECT a FROM fresh_view",
    "CREATE FUNCTION renewed() RETURNS INT NO SQL RETURN 1", "DROP FUNCTION renewed",
    "CREATE FUNCTION renewed() RETURNS INT NO SQL BEGIN SET @d = 8; RETURN 2; END",
]
# What an OK says of these need not be LAST_INSERT_ID().
GIVES_KEYS = [
    "INSERT INTO made VALUES (77, 'k')", "INSERT INTO made (id, b) VALUES (78, 'k'), (NULL, 'l')",
    "REPLACE INTO made VALUES (77, 'k')",
    "INSERT INTO made VALUES (NULL, 'k'), (77, 'k'), (77, 'k')", "INSERT IGNORE INTO made VALUES (77, 'k')",
    "INSERT INTO made VALUES (77, 'k') ON DUPLICATE KEY UPDATE b = 'm'", "INSERT INTO made SET id = 40 + 39, b = 'k'",
    "INSERT INTO made (id, b) SELECT n + 70, 'k' FROM numbers", "INSERT INTO made (b) SELECT n FROM numbers WHERE n < 3",
    "INSERT INTO made (b) VALUES ('made'), ('made')", "INSERT INTO made (b) VALUES (77)", "INSERT INTO made VALUES ('80', 'k')",
]
TAKES_LOCKS = ["SELECT GET_LOCK(CONCAT('l', tag), 0) FROM here", "SELECT locks()", "CALL locked()",
               "DO (SELECT GET_LOCK(CONCAT('l', tag), 0) FROM here)", "SELECT GET_LOCK(CONCAT('l', tag), 0) FROM here WHERE a = 2",
               # `billing` is another name in each lane.
               "SELECT GET_LOCK('billing', 0)", "SELECT GET_LOCK('billing', 0)", "SELECT RELEASE_LOCK('billing')",
               "DO RELEASE_LOCK('billing')"]
ONLY_MARIADB = [
    "SET STATEMENT max_sort_length = 95 FOR SELECT 1", "EXECUTE IMMEDIATE 'SET @v = 6'", "BEGIN NOT ATOMIC SET @v = 7; END",
    "CREATE OR REPLACE TEMPORARY TABLE tmp (a INT)", "INSERT INTO made (b) VALUES ('r') RETURNING id",
    "DELETE FROM made RETURNING id",
    "SELECT LASTVAL(nowhere)", "IF 1 THEN SET @w = 8; END IF", "SET @@session.max_sort_length = DEFAULT, @v = DEFAULT",
]
TRANSACTIONS = ["BEGIN", "BEGIN", "BEGIN WORK", "COMMIT", "COMMIT", "ROLLBACK", "ROLLBACK", "START TRANSACTION READ ONLY",
                "COMMIT AND CHAIN", "ROLLBACK AND CHAIN", "START TRANSACTION WITH CONSISTENT SNAPSHOT", "SAVEPOINT a",
                "ROLLBACK TO a",
                "RELEASE SAVEPOINT a", "/*!40101 BEGIN */", "begin; insert into made (b) values ('t')", "START TRANSACTION",
                "START TRANSACTION READ WRITE", "SET autocommit = 0; SELECT n FROM numbers", "SET autocommit = 1", "(SELECT 1)"]
PREPARED = ["SELECT ? + 1", "SELECT n FROM numbers WHERE n < ? ORDER BY n", "INSERT INTO made (b) VALUES (?)",
            "SELECT LAST_INSERT_ID()", "SET @v = ?", "SET max_sort_length = 333", "SELECT ?, ?, ?",
            "SELECT 'double', ?", "SELECT \"double\", ?", "SELECT @w := ?", "SELECT a FROM here", "SELECT fv()", "COMMIT", "BEGIN",
            "CALL two()", "SELEC", "UPDATE made SET b = ? WHERE id = LAST_INSERT_ID()", LOOK_AT_SCHEMA, "CALL sets()",
            "CALL out_one(?, ?)", "CALL warns()", "CREATE TEMPORARY TABLE tmp (a INT)", "DROP TEMPORARY TABLE tmp",
            "INSERT INTO made (b) VALUES (?), (?)", "SELECT ROW_COUNT()", "SELECT CONCAT('a', ?), LENGTH(?)", "SHOW WARNINGS",
            "INSERT INTO made (id, b) VALUES (?, ?)", "SELECT renewed()", "SELECT * FROM tmp",
            "SET sql_mode = 'ANSI_QUOTES'", "INSERT INTO small VALUES (?)",
            "SELECT a FROM fresh", "SELECT 1 UNION SELECT ?", "SELECT n FROM numbers LIMIT 2", "SET NAMES latin1", "DO fv()",
            "SELECT n FROM numbers ORDER BY n", "DELETE FROM made WHERE b = ?", "SELECT @@session.max_sort_length", "USE billing"]
VALUES = ["1", "4", r"\N", "text", "", "a 'quoted' one", "2000"]


def audit(names) -> str:
    return "SELECT CONCAT_WS('|', " + ", ".join(f"'{name}', @@session.{name}" for name in sorted(names)) + ")"


# What leaves something to ask for, and how it is asked for.
LEAVES = ["INSERT INTO made (b) VALUES ('x'), ('y')", "SELECT n FROM numbers LIMIT 3", "INSERT INTO small VALUES (1000)",
          "SELECT nothing", "SELECT CAST('x' AS SIGNED)", "SELECT n FROM numbers", "SELEC 1", "SELECT a FROM here",
          "SELECT SQL_CALC_FOUND_ROWS n FROM numbers LIMIT 2", "INSERT IGNORE INTO small VALUES (1000), (2000)",
          "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'of my own'", "SELECT 1 FROM nowhere.t", "DROP TABLE IF EXISTS nothing",
          "INSERT INTO made (b) VALUES (harmless(1))"]
# In whatever schema: of a SELECT that fails FOUND_ROWS() differs.
_FOUR = "(SELECT 1 AS n UNION SELECT 2 UNION SELECT 3 UNION SELECT 4) AS four"
FINDS = [f"SELECT n FROM {_FOUR} LIMIT 3", f"SELECT n FROM {_FOUR}", f"SELECT n FROM {_FOUR} WHERE n = 2",
         f"SELECT SQL_CALC_FOUND_ROWS n FROM {_FOUR} LIMIT 2"]
# After these FOUND_ROWS() is that of the last SELECT here, and MariaDB does not forget its warnings: docs/mysql.md.
COUNTS = ["UPDATE made SET b = 'u'", "DELETE FROM small", "DELETE FROM made WHERE id < 0", "SELECT adds()"]
ASKS_COUNTS = ["SELECT ROW_COUNT()", "SELECT LAST_INSERT_ID(), ROW_COUNT()", "SELECT LAST_INSERT_ID() > 0"]
ASKS = ["SHOW WARNINGS", "SHOW ERRORS", "SHOW WARNINGS LIMIT 1", "SHOW WARNINGS LIMIT 1, 5", "SHOW COUNT(*) WARNINGS",
        "SHOW COUNT(*) ERRORS", "SELECT @@warning_count, @@session.error_count", "SELECT ROW_COUNT()",
        "SELECT LAST_INSERT_ID() > 0", "SELECT LAST_INSERT_ID(), ROW_COUNT()"]
# With one connection for all nobody may keep it.
LOOKS_ELSEWHERE = ["SELECT a FROM here", "SHOW WARNINGS", "SELECT nowhere", "INSERT INTO small VALUES (1)",
                   "INSERT INTO made (b) VALUES ('else')"]
NARROW = ["USE billing", "SET NAMES latin1", "SET NAMES utf8mb4", "SELECT 1; SELECT 2", "SELECT harmless(2)",
          LOOK_AT_SCHEMA, "SET sql_mode = ''", "SET sql_mode = DEFAULT", "SELECT 'a\\\\b', \"x\"",
          "SELECT n FROM numbers", "SELECT a FROM here", "SELECT 7/3", "SELECT LAST_INSERT_ID()",
          "SET max_sort_length = 81, SESSION div_precision_increment = 3", "SET SESSION TRANSACTION READ WRITE"]
# Which follow their client.
NARROW_VARIABLES = ["SET @v = 5", "SET @V = @w + 1, @w = 7.50", "SELECT @w := 3", "SELECT 4 INTO @z", "SET @v = NULL",
                    "SELECT n INTO @z FROM numbers WHERE n = 99", "SET @'quoted' = 'x', @z = @'quoted'",
                    "SET @v = @v * 1e0, @w = @z",
                    "SELECT CAST(@v AS CHAR(9)), @w IS NULL, CONCAT(CAST(@z AS CHAR(9)), '!')",
                    "SELECT (@v := IF(a, @w, @v)) IS NULL FROM here",
                    "SET @w = 8, max_sort_length = 66", "SELECT n FROM numbers WHERE n = @v", "SET @z = _latin1 x'e9'",
                    "INSERT INTO made (b) VALUES (@w)", "SET @w = nowhere()", "SET @v = (SELECT MAX(n) FROM numbers), @z = @v"]
BLOCKS = [["BEGIN", "INSERT INTO made (b) VALUES ('in')", "COMMIT"], ["BEGIN", "SELECT nothing", "ROLLBACK"],
          ["START TRANSACTION READ ONLY", "SELECT n FROM numbers", "COMMIT"],
          ["BEGIN", "UPDATE made SET b = 'q' WHERE id = LAST_INSERT_ID()", "ROLLBACK"],
          ["BEGIN", "SAVEPOINT a", "INSERT INTO made (b) VALUES ('in')", "ROLLBACK TO a", "COMMIT AND CHAIN", "COMMIT"],
          ["SET TRANSACTION READ ONLY", "BEGIN", "INSERT INTO made (b) VALUES ('never')", "ROLLBACK"],
          ["LOCK TABLES numbers READ", "SELECT n FROM numbers", "UNLOCK TABLES"]]
NARROW_PREPARED = ["SELECT ? + 1", "SELECT n FROM numbers WHERE n < ? ORDER BY n", "INSERT INTO made (b) VALUES (?)",
                   "SELECT LAST_INSERT_ID()", "SELECT \"double\", ?", LOOK_AT_SCHEMA, "SELECT a FROM here", "SELECT ROW_COUNT()",
                   "INSERT INTO made (id, b) VALUES (?, ?)", "SELECT ?, ?, ?", "UPDATE made SET b = ? WHERE id = LAST_INSERT_ID()",
                   "SET @v = ?", "SELECT CAST(CONCAT(@v, ?) AS CHAR(9))", "SELECT ? INTO @w"]
# Of EXCLUDE_VARIABLE_SETS: what its client may lose, and nobody else may find.
EXCLUDED = ["SET @v = 5", "SET @v = 1, @w = 2", "SELECT 4 INTO @z", "SELECT @w := 3", "SET timestamp = 5", "SET rand_seed1 = 7",
            "SET insert_id = 70", "SET max_sort_length = 99", "SET sql_mode = 'ANSI_QUOTES'", "SET @v = 4, max_sort_length = 98",
            "SET NAMES latin1", "SET SESSION debug = ''", "SET foreign_key_checks = 0",
            "SELECT @w := @w + 1", "SET @'quoted' = 'x'", "SELECT 1", "SELECT a FROM here"]
