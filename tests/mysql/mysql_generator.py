"""Random scripts of what mysql_grammar.py has, by several clients in any order. Kinds:

wide      everything; there are connections for all
narrow    one connection for all clients, which every one that rests has to let go
two       two connections: client A does everything, the others let go of theirs
excluded  one connection, sessionPinningFilters: client `a`, whose answers are not compared, sets variables

Locks and rows that are written are each client's own, as far as the servers' locks on gaps allow: those end after a second.
"""

import random

import mysql_grammar as grammar
from script import SEPARATOR, Step

KINDS = ("wide", "narrow", "two", "excluded")
# What kind of client each is: see capabilities_of() in native/session.cpp.
_CLIENTS = {"wide": "ABCD", "narrow": "ABCE", "two": "ABCE", "excluded": "BCEaa"}

# Leaves one row found and no conditions: with no table in it MariaDB would keep those from before.
_NOTHING = "SELECT 1 FROM (SELECT 1) AS nothing"

_ASKS = ("FOUND_ROWS()", "WARNINGS", "ERRORS", "DIAGNOSTICS", "_COUNT")  # what text may ask for what another one left


class Generator:
    def __init__(self, seed: int, version: str, kind: str = "wide"):
        self.random, self.kind, self.mariadb = random.Random(seed), kind, version.startswith("mariadb")
        self.variables = {name: values for name, values in grammar.VARIABLES.items()
                          if not (self.mariadb and name in grammar.ONLY_MYSQL)}
        if self.mariadb:
            self.variables |= grammar.MARIADB_VARIABLES
        self.audit = grammar.audit(set(self.variables) - grammar.NOT_AUDITED)
        self.changes = grammar.CHANGES + (grammar.ONLY_MARIADB if self.mariadb else [])
        if kind == "two":  # refused in words where somebody else has had the connection
            self.changes = [text for text in self.changes if "GET DIAGNOSTICS" not in text]
        self.no_cursor: set[tuple[str, str]] = set()
        self.lockers: set[str] = set()  # who may have a lock by name: others see when it is gone

    def script(self) -> list[Step]:
        choose = self.random
        clients = _CLIENTS[self.kind]
        if self.kind in ("wide", "narrow"):
            clients = "".join(choose.sample(clients, choose.randint(2, len(clients))))
        # What FOUND_ROWS() says of nothing differs.
        steps = [Step(client, ":", "SELECT a FROM here") for client in sorted(set(clients))]
        for _ in range(choose.randint(10, 60)):
            client = choose.choice(clients)
            if client.islower():
                steps.append(Step(client, choose.choice(":::?"), choose.choice(grammar.EXCLUDED)))
            elif self.kind == "wide" or (self.kind == "two" and client == "A"):
                steps.extend(self._wide(client, clients))
            else:
                steps.extend(self._narrow(client, clients))
        steps = self._without_known(steps)
        # Whatever happened before: this is what everybody has, and what somebody new gets.
        for client in sorted({*clients, "Z"}):
            if client.isupper():
                steps += [Step(client, ":", "ROLLBACK"), Step(client, ":", self.audit),
                          Step(client, ":", grammar.LOOK_AT_VARIABLES), Step(client, ":", grammar.LOOK_AT_SCHEMA)]
        return steps

    def _without_known(self, steps: list[Step]) -> list[Step]:
        """With a SELECT before what asks for something of which docs/mysql.md says that it differs."""
        kept, unknown = [], set()
        for step in steps:
            text = step.text.upper()
            if step.client in unknown and any(word in text for word in _ASKS):
                kept.append(Step(step.client, ":", _NOTHING))
                unknown.discard(step.client)
            # After the last the proxy looks at programs.
            programs = "FUNCTION renewed" in step.text or "VIEW fresh" in step.text or "TABLE fresh" in step.text
            if "INSERT" in text and " SELECT " in text or self.mariadb and ("SESSION_TRACK_" in text or programs):
                unknown.add(step.client)
            kept.append(step)
        return kept

    def _wide(self, client: str, clients: str) -> list[Step]:
        choose = self.random
        kind = choose.random()
        if kind < 0.16:
            return [Step(client, choose.choice(":::?"), self._set())]
        if kind < 0.22:  # what the statement before it left, with somebody else's between them
            others = [other for other in clients if other != client] or ["Z"]
            between = [Step(choose.choice(others), ":", "SELECT a FROM here") for _ in range(choose.randint(0, 1))]
            if choose.random() < 0.25:
                return [Step(client, ":", choose.choice(grammar.FINDS)), *between, Step(client, ":", "SELECT FOUND_ROWS()")]
            if choose.random() < 0.3:
                return [self._gives_keys(client), *between, Step(client, choose.choice("::?"), "SELECT LAST_INSERT_ID()")]
            return [Step(client, ":", choose.choice(grammar.LEAVES)), *between, self._asks(client)]
        if kind < 0.26:
            self.lockers.add(client)
            return [Step(client, choose.choice("::?"), choose.choice(grammar.TAKES_LOCKS))]
        if kind < 0.48:
            text = choose.choice(self.changes)
            # In a transaction a server tells such a client what it has seen of it since then.
            ends = [Step(client, ":", "ROLLBACK AND NO CHAIN NO RELEASE")] if "transaction_info" in text else []
            return [*ends, Step(client, choose.choice(":::?"), text)]
        if kind < 0.66:
            return [Step(client, choose.choice("::?"), choose.choice([*grammar.LOOKS, self.audit, self.audit]))]
        if kind < 0.76:
            return [Step(client, ":", choose.choice(grammar.TRANSACTIONS))]
        if kind < 0.92:
            return self._prepared(client, grammar.PREPARED)
        if kind < 0.98:
            command = self._command()
            # Of a SELECT before a change of user FOUND_ROWS() is known, of other statements not: docs/mysql.md.
            return [Step(client, "~", command), *([Step(client, ":", "SELECT 1")] if command.startswith("user") else [])]
        if client in self.lockers:
            return []
        return choose.choice([[Step(client, "$")], [Step(client, "!")], self._kills(client, clients)])

    def _set(self) -> str:
        choose = self.random

        def one():
            name = choose.choice(sorted(self.variables))
            scope = choose.choice(["", "", "SESSION ", "@@session.", "@@", "LOCAL ", "@@local."])
            return f"{scope}{name} {choose.choice(['=', '=', ':='])} {choose.choice(self.variables[name])}"
        return "SET " + ", ".join(one() for _ in range(choose.choice([1, 1, 1, 2, 3])))

    def _command(self) -> str:
        return self.random.choice(["reset", "reset", "db own", "db own", "db billing", "db nowhere", "ping", "option 1", "option 0",
                                   "user native own", "user native billing", "user other own", "user native own",
                                   "fields numbers", "fields nowhere"])

    def _kills(self, client: str, clients: str) -> list[Step]:
        choose = self.random
        victim = choose.choice(clients)
        if victim in self.lockers or victim == client:
            kills = Step(client, ":", "KILL #Y#")  # who is not there
        elif choose.random() < 0.5:
            kills = Step(client, ":", choose.choice(["KILL #{}#", "KILL CONNECTION #{}#"]).format(victim))
        else:
            kills = Step(client, "~", f"kill #{victim}#")
        return [kills, Step(client, ":", _NOTHING)]  # errors of the proxy's own are not among conditions

    def _narrow(self, client: str, clients: str) -> list[Step]:
        choose = self.random
        kind = choose.random()
        letters = [letter for letter in clients if letter.isupper() and (self.kind != "two" or letter != "A")]
        if kind < 0.06:
            return [Step(client, choose.choice(":::?"), choose.choice(grammar.COUNTS)),
                    *[Step(choose.choice(letters), ":", "SELECT a FROM here") for _ in range(choose.randint(0, 2))],
                    Step(client, ":", choose.choice(grammar.ASKS_COUNTS)), Step(client, ":", "SELECT a FROM here")]
        if kind < 0.1:
            return [Step(client, choose.choice(":::?"), choose.choice(grammar.FINDS)),
                    *[Step(choose.choice(letters), ":", "SELECT a FROM here") for _ in range(choose.randint(0, 2))],
                    Step(client, ":", "SELECT FOUND_ROWS()")]
        if kind < 0.2:
            return [self._gives_keys(client),
                    *[Step(choose.choice(letters), ":", choose.choice(grammar.LOOKS_ELSEWHERE))
                      for _ in range(choose.randint(0, 3))],
                    Step(client, choose.choice("::?"), "SELECT LAST_INSERT_ID()")]
        if kind < 0.4:
            return [Step(client, choose.choice(":::?"), choose.choice(grammar.LEAVES)),
                    *[Step(choose.choice(letters), "~", "ping") if choose.random() < 0.2 else
                      Step(choose.choice(letters), ":", choose.choice(grammar.LOOKS_ELSEWHERE))
                      for _ in range(choose.randint(0, 3))],
                    *[self._asks(client) for _ in range(choose.randint(1, 3))]]
        if kind < 0.5:
            return [Step(client, ":", text) for text in choose.choice(grammar.BLOCKS)]
        if kind < 0.6:
            name = choose.choice(["max_sort_length", "div_precision_increment", "time_zone", "sql_notes", "group_concat_max_len"])
            return [Step(client, ":", f"SET {name} = {choose.choice(self.variables[name])}")]
        if kind < 0.68:
            return [Step(client, choose.choice("::?"), choose.choice(grammar.NARROW_VARIABLES))]
        if kind < 0.77:
            # MariaDB keeps warnings across SET NAMES: they then have the columns of before.
            texts = [text for text in grammar.NARROW if not (self.mariadb and text.startswith("SET NAMES"))]
            return [Step(client, choose.choice("::?"), choose.choice(texts))]
        if kind < 0.9:
            return self._prepared(client, grammar.NARROW_PREPARED, narrow=True)
        if kind < 0.97:
            return [Step(client, "~", choose.choice(["reset", "db own", "db billing", "db nowhere", "ping", "user native own",
                                                     "fields numbers", "option 0", "option 1"])),
                    Step(client, ":", "SELECT a FROM here")]
        return [Step(client, choose.choice("$!")), Step(client, ":", "SELECT a FROM here")]

    def _gives_keys(self, client: str) -> Step:
        texts = [*grammar.GIVES_KEYS, *(["INSERT INTO made (b) VALUES ('r') RETURNING id"] if self.mariadb else [])]
        return Step(client, self.random.choice(":::?"), self.random.choice(texts))

    def _asks(self, client: str) -> Step:
        text = self.random.choice(grammar.ASKS)
        return Step(client, self.random.choice("::?"), text)

    def _values(self) -> list[str]:
        return [self.random.choice(grammar.VALUES) for _ in range(3)]

    def _prepared(self, client: str, texts: list[str], narrow: bool = False) -> list[Step]:
        choose, name = self.random, self.random.choice("mn")
        kind = choose.random()
        if kind < 0.35:
            text = choose.choice(texts)
            if text.startswith("CALL out_"):
                self.no_cursor.add((client, name))
            return [Step(client, "+", f"{name}: {text}")]
        execute = Step(client, "*", SEPARATOR.join([name, *self._values()]))
        if kind < 0.8:
            return [execute]
        if kind < 0.86:
            return [Step(client, "-", name)]
        steps = [Step(client, "~", f"long {name} {choose.randint(0, 2)} {choose.choice(['abc', 'data'])}")
                 for _ in range(choose.randint(1, 2))]
        if kind < 0.92:  # long data, and what takes it
            return [*steps, choose.choice([execute, execute, Step(client, "~", f"sreset {name}"), Step(client, "-", name)])]
        if (client, name) in self.no_cursor and not self.mariadb:  # MySQL 8.0.15 itself dies of some
            return [execute]
        opened = [Step(client, "*", SEPARATOR.join([f"cursor {name}", *self._values()])),
                  *[Step(client, "~", f"fetch {name} {choose.randint(1, 3)}") for _ in range(choose.randint(0, 3))]]
        if narrow or choose.random() < 0.5:
            opened.append(choose.choice([Step(client, "-", name), Step(client, "~", f"sreset {name}"),
                                         Step(client, "~", f"fetch {name} 99")]))
        return opened
