"""Random scripts of statements that make, change, undo and look at session state, by several clients in any order.

Nothing here can block another client: locks and rows that are written are each client's own.
"""

import random

from script import SEPARATOR, Step

CLIENTS = "ABCD"
VARIABLES = {
    "sql_mode": ["'ANSI_QUOTES'", "''", "'NO_BACKSLASH_ESCAPES'", "DEFAULT", "CONCAT(@@sql_mode, ',PIPES_AS_CONCAT')"],
    "time_zone": ["'+03:00'", "'-05:30'", "DEFAULT", "'SYSTEM'"], "wait_timeout": ["100", "DEFAULT", "200"],
    "max_sort_length": ["100", "2000", "DEFAULT"], "div_precision_increment": ["1", "9", "DEFAULT"],
    "autocommit": ["0", "1", "ON"], "foreign_key_checks": ["0", "1", "DEFAULT"], "unique_checks": ["0", "1", "DEFAULT"],
    "sql_safe_updates": ["0", "1", "DEFAULT"], "sql_notes": ["0", "1"], "sql_select_limit": ["2", "DEFAULT"],
    "character_set_results": ["NULL", "latin1", "utf8mb4"], "collation_connection": ["utf8mb4_bin", "latin1_swedish_ci"],
    "group_concat_max_len": ["8", "DEFAULT"], "lc_time_names": ["'de_DE'", "DEFAULT"], "sql_auto_is_null": ["0", "1"],
    "transaction_isolation": ["'READ-COMMITTED'", "'SERIALIZABLE'", "DEFAULT"], "lock_wait_timeout": ["7", "DEFAULT"],
    "innodb_lock_wait_timeout": ["3", "DEFAULT"], "sql_big_selects": ["0", "1", "DEFAULT"], "nonsense": ["1"],
    "max_connections": ["7"], "default_storage_engine": ["MyISAM", "DEFAULT"], "sql_warnings": ["0", "1"],
    "completion_type": ["1", "0"], "low_priority_updates": ["0", "1"], "max_error_count": ["0", "3", "DEFAULT"],
    "default_week_format": ["3", "DEFAULT"], "big_tables": ["0", "1"], "tmp_table_size": ["1024", "DEFAULT"],
}
ONLY_MYSQL = {"transaction_isolation"}
LOOKS = [
    "SELECT " + ", ".join(f"CAST({name} AS CHAR(9))" for name in ("@v", "@w", "@z", "@p", "@fv", "@traced", "@'quoted'")),
    "SELECT DATABASE() = 'billing'", "SELECT 7/3", "SELECT 'a\\\\b', \"x\"",
    "SELECT a FROM here ORDER BY a", "SELECT COUNT(*) FROM tmp", "EXECUTE s", "SELECT IS_FREE_LOCK(CONCAT('l', tag)) FROM here",
    "SELECT DATE_FORMAT('2024-01-02', '%W'), FROM_UNIXTIME(0)", "SELECT GROUP_CONCAT(n) FROM numbers", "SELECT 'x' || 'y'",
    "SELECT CHARSET('a'), COLLATION('a')", "SELECT n FROM numbers", "SELECT * FROM numbers WHERE n > 3 ORDER BY n",
    "SELECT LAST_INSERT_ID()",
    "SELECT USER() LIKE 'app@%', CURRENT_ROLE()",
    "SELECT @@session.transaction_read_only", "SELECT harmless(2)",
]
CHANGES = [
    "SET @v = 5", "SELECT @w := 3", "SELECT 4 INTO @z", "SET @'quoted' = 'x'", "SELECT fv()", "SELECT uses()", "CALL sets()",
    "CALL two()", "INSERT INTO log VALUES (9)", "SELECT GET_LOCK(CONCAT('l', tag), 0) FROM here",
    "SELECT RELEASE_ALL_LOCKS()", "CREATE TEMPORARY TABLE tmp (a INT)", "DROP TEMPORARY TABLE tmp", "DROP TABLE IF EXISTS tmp",
    "PREPARE s FROM 'SELECT 5'", "DEALLOCATE PREPARE s", "LOCK TABLES numbers READ", "UNLOCK TABLES", "USE billing",
    "INSERT INTO made (b) VALUES ('x'), ('y')", "INSERT INTO made (b) VALUES ('z')", "UPDATE made SET b = 'q'",
    "DELETE FROM made LIMIT 1", "INSERT INTO small VALUES (1000)", "SELECT CAST('x' AS SIGNED)", "DO 1/0",
    "SELECT SQL_CALC_FOUND_ROWS n FROM numbers LIMIT 2", "SELECT n FROM numbers LIMIT 3", "SET NAMES latin1", "SET NAMES utf8mb4",
    "SET CHARACTER SET latin1", "SET NAMES DEFAULT", "HANDLER numbers OPEN",
    "HANDLER numbers READ FIRST", "HANDLER numbers CLOSE", "SET TRANSACTION READ ONLY", "INSERT INTO made (b) VALUES (fv())",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY", "SET SESSION TRANSACTION READ WRITE",
    "SELECT nothing", "SELEC 1", "SIGNAL SQLSTATE '45000'", "SELECT LAST_INSERT_ID(77)", "SET last_insert_id = 5",
    "SET timestamp = 5", "SET timestamp = DEFAULT", "SET insert_id = 55", "SELECT @v := @v + 1", "SET ROLE NONE",
    "SET @@session.sql_mode = 'ANSI', @v = 8", "SET time_zone = '+01:00', nonsense = 1", "SET @@local.max_sort_length = 77",
    "SELECT 1; SET max_sort_length = 500; SELECT 2", "SET sql_notes = 0; SELEC", "FLUSH STATUS", "INSERT INTO log VALUES (1), (2)",
]
TRANSACTIONS = ["BEGIN", "BEGIN", "COMMIT", "COMMIT", "ROLLBACK", "ROLLBACK", "START TRANSACTION READ ONLY", "COMMIT AND CHAIN",
                "START TRANSACTION WITH CONSISTENT SNAPSHOT", "SAVEPOINT a", "ROLLBACK TO a", "RELEASE SAVEPOINT a",
                "/*!40101 BEGIN */", "begin; insert into made (b) values ('t')"]
PREPARED = ["SELECT ? + 1", "SELECT n FROM numbers WHERE n < ? ORDER BY n", "INSERT INTO made (b) VALUES (?)",
            "SELECT LAST_INSERT_ID()", "SET @v = ?", "SET max_sort_length = 333",
            "SELECT 'double', ?", "SELECT \"double\", ?", "SELECT @w := ?", "SELECT a FROM here", "SELECT fv()", "COMMIT",
            "CALL two()", "SELEC", "UPDATE made SET b = ?", "SELECT DATABASE() = 'billing'"]


def audit(names) -> str:
    return "SELECT CONCAT_WS('|', " + ", ".join(f"'{name}', @@session.{name}" for name in sorted(names)) + ")"


class Generator:
    def __init__(self, seed: int, version: str):
        self.random = random.Random(seed)
        self.variables = {name: values for name, values in VARIABLES.items()
                          if not (version.startswith("mariadb") and name in ONLY_MYSQL)}
        self.audit = audit(set(self.variables) - {"nonsense", "max_connections"})

    def script(self) -> list[Step]:
        choose = self.random
        clients = CLIENTS[:choose.randint(2, len(CLIENTS))]
        steps = []
        for _ in range(choose.randint(10, 60)):
            steps.extend(self._steps(choose.choice(clients)))
        # Whatever happened before: this is what everybody has, and what somebody new gets.
        for client in clients + "Z":
            steps += [Step(client, ":", "ROLLBACK"), Step(client, ":", self.audit), Step(client, ":", LOOKS[0]),
                      Step(client, ":", LOOKS[1])]
        return steps

    def _steps(self, client: str):
        choose = self.random
        kind = choose.random()
        if kind < 0.22:
            name = choose.choice(sorted(self.variables))
            scope = choose.choice(["", "SESSION ", "@@session.", "@@"])
            return [Step(client, ":", f"SET {scope}{name} = {choose.choice(self.variables[name])}")]
        if kind < 0.25:  # what the statement before it left, with somebody else's between them
            first, then = choose.choice([("INSERT INTO made (b) VALUES ('x'), ('y')", "SELECT ROW_COUNT()"),
                                         ("SELECT n FROM numbers LIMIT 3", "SELECT FOUND_ROWS(), ROW_COUNT()"),
                                         ("INSERT INTO small VALUES (1000)", "SHOW WARNINGS"), ("SELECT nothing", "SHOW ERRORS"),
                                         ("SELECT CAST('x' AS SIGNED)", "SELECT @@warning_count"),
                                         ("SELECT n FROM numbers", "SHOW WARNINGS"),
                                         ("SELECT SQL_CALC_FOUND_ROWS n FROM numbers LIMIT 2", "SELECT FOUND_ROWS()")])
            between = [Step(choose.choice(CLIENTS[:2]), ":", "SELECT a FROM here")]
            between = between if between[0].client != client else []
            return [Step(client, ":", first), *between, Step(client, ":", then)]
        if kind < 0.45:
            text = choose.choice(CHANGES)
            return [Step(client, choose.choice([":", ":", ":", "?"]), text)]
        if kind < 0.65:
            return [Step(client, choose.choice([":", ":", "?"]), choose.choice([*LOOKS, self.audit, self.audit]))]
        if kind < 0.78:
            return [Step(client, ":", choose.choice(TRANSACTIONS))]
        if kind < 0.93:
            return [self._prepared(client)]
        if kind < 0.98:
            return [Step(client, "~", choose.choice(["reset", "db own", "db billing", "db nowhere", "ping", "option 1",
                                                     "option 0"]))]
        return [Step(client, choose.choice("$!"))]

    def _prepared(self, client: str) -> Step:
        choose, name = self.random, self.random.choice("mn")
        kind = choose.random()
        if kind < 0.4:
            return Step(client, "+", f"{name}: {choose.choice(PREPARED)}")
        if kind < 0.9:
            return Step(client, "*", SEPARATOR.join([name, choose.choice(["1", "4", r"\N", "text"])]))
        return Step(client, "-", name)
