"""psycopg2 with its default settings: simple protocol, a transaction per connection."""

import datetime
import decimal
import io
import threading

import psycopg2
import psycopg2.errors
from common import DATABASE, HOST, PASSWORD, PORT, SSLMODE, USER, equal
from psycopg2.extras import execute_values


def connect():
    return psycopg2.connect(host=HOST, port=PORT, user=USER, password=PASSWORD, dbname=DATABASE, sslmode=SSLMODE)


connection = connect()
cursor = connection.cursor()
values = (42, "naïve ☃", decimal.Decimal("12.34"), True, None, [1, 2, 3],
          datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc), 1.5)
cursor.execute("SELECT %s, %s, %s, %s, %s, %s, %s::timestamptz, %s::float8", values)
equal(cursor.fetchone(), values, "types")
cursor.execute("SELECT %s", (psycopg2.Binary(b"\x00\xff"),))
equal(bytes(cursor.fetchone()[0]), b"\x00\xff", "bytea")

cursor.execute("INSERT INTO items (name) VALUES ('rolled back')")
connection.rollback()
cursor.execute("INSERT INTO items (name) VALUES ('kept')")
connection.commit()
cursor.execute("SELECT array_agg(name) FROM items")
equal(cursor.fetchone()[0], ["kept"], "commit and rollback")

try:
    cursor.execute("INSERT INTO items (name) VALUES ('kept')")
except psycopg2.errors.UniqueViolation as error:
    equal(error.pgcode, "23505", "error")
connection.rollback()

execute_values(cursor, "INSERT INTO items (name, amount) VALUES %s", [(f"many {n}", n) for n in range(500)])
cursor.copy_expert("COPY items (name, amount) FROM STDIN", io.StringIO("".join(f"c{n}\t{n}\n" for n in range(1000))))
connection.commit()
out = io.StringIO()
cursor.copy_expert("COPY (SELECT count(*) FROM items) TO STDOUT", out)
equal(out.getvalue(), "1501\n", "execute_values and COPY both ways")
connection.commit()

connections = [connect() for _ in range(4)]
for step in range(10):
    for number, other in enumerate(connections):
        with other, other.cursor() as each:
            each.execute("SELECT %s + %s", (step, number))
            assert each.fetchone() == (step + number,)
equal(len(connections), 4, "interleaved connections")

# psycopg2's own way of setting session characteristics, and back.
connections[0].set_session(isolation_level="SERIALIZABLE", readonly=True)
with connections[0], connections[0].cursor() as each:
    each.execute("SHOW transaction_isolation")
    equal(each.fetchone(), ("serializable",), "set_session")
with connections[1], connections[1].cursor() as each:
    each.execute("SHOW transaction_read_only")
    equal(each.fetchone(), ("off",), "set_session of another connection")

with connections[2], connections[2].cursor("named") as each:
    each.execute("SELECT n FROM generate_series(1, 5000) n")
    equal(sum(row[0] for row in each), 12502500, "named cursor")

codes = []


def sleep():
    try:
        connections[3].cursor().execute("SELECT pg_sleep(30)")
    except psycopg2.errors.QueryCanceled as error:
        codes.append(error.pgcode)
        connections[3].rollback()


thread = threading.Thread(target=sleep)
thread.start()
while thread.is_alive():
    connections[3].cancel()
    thread.join(0.2)
equal(codes, ["57014"], "cancel")
for other in [connection, *connections]:
    other.close()
