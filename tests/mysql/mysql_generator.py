"""Random scripts of statements that make, change, undo and look at session state, by several clients in any order.

Locks and rows that are written are each client's own, as far as the servers' locks on gaps allow: those end after a second.
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
    "innodb_lock_wait_timeout": ["2", "DEFAULT"], "sql_big_selects": ["0", "1", "DEFAULT"], "nonsense": ["1"],
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
    "INSERT INTO made (b) VALUES ('x'), ('y')", "INSERT INTO made (b) VALUES ('z')",
    "UPDATE made SET b = 'q' WHERE id = LAST_INSERT_ID()",
    "DELETE FROM made WHERE id = LAST_INSERT_ID()", "INSERT INTO small VALUES (1000)", "SELECT CAST('x' AS SIGNED)", "DO 1/0",
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
            "CALL two()", "SELEC", "UPDATE made SET b = ? WHERE id = LAST_INSERT_ID()", "SELECT DATABASE() = 'billing'"]


def audit(names) -> str:
    return "SELECT CONCAT_WS('|', " + ", ".join(f"'{name}', @@session.{name}" for name in sorted(names)) + ")"


# What leaves something to ask for, and how it is asked for.
LEAVES = ["INSERT INTO made (b) VALUES ('x'), ('y')", "SELECT n FROM numbers LIMIT 3", "INSERT INTO small VALUES (1000)",
          "SELECT nothing", "SELECT CAST('x' AS SIGNED)", "SELECT n FROM numbers", "SELEC 1", "SELECT a FROM here",
          "SELECT SQL_CALC_FOUND_ROWS n FROM numbers LIMIT 2", "INSERT IGNORE INTO small VALUES (1000), (2000)",
          "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'of my own'", "SELECT 1 FROM nowhere.t", "DROP TABLE IF EXISTS nothing"]
ASKS = ["SHOW WARNINGS", "SHOW ERRORS", "SHOW WARNINGS LIMIT 1", "SHOW WARNINGS LIMIT 1, 5", "SHOW COUNT(*) WARNINGS",
        "SHOW COUNT(*) ERRORS", "SELECT @@warning_count, @@session.error_count", "SELECT ROW_COUNT()", "SELECT FOUND_ROWS()",
        "SELECT LAST_INSERT_ID() > 0"]
# With one connection for all nobody may keep it.
LOOKS_ELSEWHERE = ["SELECT a FROM here", "SHOW WARNINGS", "SELECT nowhere", "INSERT INTO small VALUES (1)"]
NARROW = ["USE billing", "SET NAMES latin1", "SET NAMES utf8mb4", "SELECT 1; SELECT 2", "SELECT harmless(2)",
          "SELECT DATABASE() = 'billing'", "SET sql_mode = ''", "SET sql_mode = DEFAULT", "SELECT 'a\\\\b', \"x\"",
          "SELECT n FROM numbers", "SELECT a FROM here"]
BLOCKS = [["BEGIN", "INSERT INTO made (b) VALUES ('in')", "COMMIT"], ["BEGIN", "SELECT nothing", "ROLLBACK"],
          ["START TRANSACTION READ ONLY", "SELECT n FROM numbers", "COMMIT"],
          ["BEGIN", "UPDATE made SET b = 'q' WHERE id = LAST_INSERT_ID()", "ROLLBACK"],
          ["BEGIN", "SAVEPOINT a", "INSERT INTO made (b) VALUES ('in')", "ROLLBACK TO a", "COMMIT AND CHAIN", "COMMIT"]]


class Generator:
    def __init__(self, seed: int, version: str, narrow: bool = False):
        self.random, self.narrow, self.mariadb = random.Random(seed), narrow, version.startswith("mariadb")
        self.variables = {name: values for name, values in VARIABLES.items()
                          if not (self.mariadb and name in ONLY_MYSQL)}
        self.audit = audit(set(self.variables) - {"nonsense", "max_connections"})

    def script(self) -> list[Step]:
        choose = self.random
        clients = CLIENTS[:choose.randint(2, len(CLIENTS))]
        steps = [Step(client, ":", "SELECT a FROM here") for client in clients]  # what FOUND_ROWS() says of nothing differs
        for _ in range(choose.randint(10, 60)):
            steps.extend(self._narrow(choose.choice(clients)) if self.narrow else self._steps(choose.choice(clients)))
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

    def _narrow(self, client: str):
        choose = self.random
        kind = choose.random()
        if kind < 0.5:
            return [Step(client, choose.choice(":::?"), choose.choice(LEAVES)),
                    *[Step(choose.choice(CLIENTS), "~", "ping") if choose.random() < 0.2 else
                      Step(choose.choice(CLIENTS), ":", choose.choice(LOOKS_ELSEWHERE)) for _ in range(choose.randint(0, 3))],
                    *[self._asks(client) for _ in range(choose.randint(1, 3))]]
        if kind < 0.6:
            return [Step(client, ":", text) for text in choose.choice(BLOCKS)]
        if kind < 0.7:
            name = choose.choice(["max_sort_length", "div_precision_increment", "time_zone", "sql_notes"])
            return [Step(client, ":", f"SET {name} = {choose.choice(self.variables[name])}")]
        if kind < 0.9:
            # MariaDB keeps warnings across SET NAMES: they then have the columns of before.
            texts = [text for text in NARROW if not (self.mariadb and text.startswith("SET NAMES"))]
            return [Step(client, choose.choice("::?"), choose.choice(texts))]
        if kind < 0.97:
            return [Step(client, "~", choose.choice(["reset", "db own", "db billing", "db nowhere", "ping"])),
                    Step(client, ":", "SELECT a FROM here")]
        return [Step(client, choose.choice("$!")), Step(client, ":", "SELECT a FROM here")]

    def _asks(self, client: str) -> Step:
        text = self.random.choice(ASKS)
        # A small literal of MariaDB's is an INT, which the function in whose place it stands is not.
        prepared = text.startswith("SHOW") and "COUNT" not in text or not self.mariadb
        return Step(client, self.random.choice("::?" if prepared else ":"), text)

    def _prepared(self, client: str) -> Step:
        choose, name = self.random, self.random.choice("mn")
        kind = choose.random()
        if kind < 0.4:
            return Step(client, "+", f"{name}: {choose.choice(PREPARED)}")
        if kind < 0.9:
            return Step(client, "*", SEPARATOR.join([name, choose.choice(["1", "4", r"\N", "text"])]))
        return Step(client, "-", name)
