"""Every session variable of the servers: whoever sets one has it, and nobody else finds anything of it.

Some change others, of which the server's trackers say nothing: so it is all variables that are compared after each.
"""

import re

import pymysql
import pytest

from bed import rows

# Of the server, of its clock, or of the connection; and what says how the client is told.
NOT_COMPARED = {"timestamp", "pseudo_thread_id", "rand_seed1", "rand_seed2", "gtid_executed", "gtid_purged", "last_gtid",
                "gtid_binlog_pos", "gtid_binlog_state", "gtid_current_pos", "identity", "last_insert_id", "insert_id",
                "warning_count", "error_count", "statement_id", "innodb_buffer_pool_load_incremental"}
# What no session can go on with, or nobody can have without being root.
NOT_SET = {"session_track_system_variables", "session_track_schema", "session_track_state_change", "session_track_gtids",
           "session_track_transaction_info", "character_set_client", "max_session_mem_used", "wait_timeout",
           "interactive_timeout", "net_read_timeout", "net_write_timeout", "max_allowed_packet", "net_buffer_length"}
WORDS = ["'ANSI'", "'utf8mb4_bin'", "'latin1'", "'+03:00'", "'de_DE'", "'MyISAM'", "'index_merge=off'", "1", "2", "''",
         "'READ-COMMITTED'", "'MINIMAL'"]


def variables(connection) -> dict:
    return {name: text for name, text in rows(connection, "SHOW SESSION VARIABLES")
            if name not in NOT_COMPARED and not name.startswith("session_track_")}


def candidates(text: str) -> list[str]:
    if text in ("ON", "OFF"):
        return ["1" if text == "OFF" else "0"]
    if re.fullmatch(r"\d+", text):
        return [str(int(text) // 2), str(min(int(text) + 1, 1 << 31)), "16384"]
    return ["3.5", "20"] if re.fullmatch(r"\d+\.\d+", text) else WORDS


def sets(connection, name: str, text: str) -> bool:
    try:
        rows(connection, f"SET SESSION {name} = {text}")
    except pymysql.err.MySQLError:
        return False
    return True


@pytest.fixture
def privileged(cluster):
    who = "SUPER ON *.*" if "maria" in cluster.version else "SUPER, SYSTEM_VARIABLES_ADMIN, SESSION_VARIABLES_ADMIN ON *.*"
    cluster.writer.sql(f"GRANT {who} TO app@'%'")
    yield
    cluster.writer.sql(f"REVOKE {who} FROM app@'%'")


def differences(found: dict, expected: dict) -> dict:
    return {name: (text, expected.get(name)) for name, text in found.items() if text != expected.get(name)}


def test_each_variable_follows_its_client_with_all_that_it_changes(bed, cluster, privileged):
    sidecar = bed.sidecar(limit=2)  # one connection
    other = bed.connect()
    fresh, wrong, followed, pinned = variables(other), [], [], []
    for name, text in fresh.items():
        for candidate in [] if name in NOT_SET else candidates(text):
            straight = bed.connect(port=bed.writer.port)
            changes = sets(straight, name, candidate)
            expected = variables(straight)
            straight.close()
            if not changes or expected.get(name) == text:
                continue
            client = bed.connect()
            sets(client, name, candidate)
            if sidecar.json("pins"):
                pinned.append(name)
                wrong += [(name, candidate, "its own", differences(variables(client), expected))]
            else:
                followed.append(name)
                wrong += [(name, candidate, "another's", differences(variables(other), fresh)),
                          (name, candidate, "its own", differences(variables(client), expected))]
            client.close()
            wrong += [(name, candidate, "behind it", differences(variables(other), fresh))]
            break
    print(f"{len(followed)} follow, these pin: {pinned}")
    assert not [each for each in wrong if each[3]]
    assert len(followed) > len(pinned)
