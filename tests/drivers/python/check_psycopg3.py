"""psycopg 3 with its default settings: a transaction per connection, prepares by itself after five runs."""

import datetime
import decimal
import io
import threading
import uuid

import psycopg
from common import DATABASE, HOST, PASSWORD, PORT, SSLMODE, USER, equal


def connect(**options):
    return psycopg.connect(host=HOST, port=PORT, user=USER, password=PASSWORD, dbname=DATABASE, sslmode=SSLMODE,
                           **options)


with connect() as connection:
    equal(connection.pgconn.ssl_in_use, SSLMODE == "require", "TLS")
    values = (42, "naïve ☃", decimal.Decimal("12.34"), b"\x00\xff", True, None, [1, 2, 3], uuid.UUID(int=7),
              datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc), 1.5)
    casts = "%s::int, %s::text, %s::numeric, %s::bytea, %s::bool, %s::text, %s::int[], %s::uuid, %s::timestamptz, " \
            "%s::float8"
    for binary in (False, True):
        equal(connection.cursor(binary=binary).execute(f"SELECT {casts}", values).fetchone(), values,
              f"types, binary={binary}")
    connection.commit()

    connection.execute("INSERT INTO items (name, amount) VALUES (%s, %s)", ("rolled back", 1))
    connection.rollback()
    connection.execute("INSERT INTO items (name, amount) VALUES (%s, %s)", ("kept", 2))
    connection.commit()
    equal(connection.execute("SELECT array_agg(name) FROM items").fetchone(), (["kept"],), "commit and rollback")
    connection.commit()

    try:
        connection.execute("INSERT INTO items (name) VALUES ('kept')")
    except psycopg.errors.UniqueViolation as error:
        equal(error.diag.constraint_name, "items_name_key", "error with its details")
    try:
        connection.execute("SELECT 1")
    except psycopg.errors.InFailedSqlTransaction as error:
        equal(error.sqlstate, "25P02", "failed transaction")
    connection.rollback()
    with connection.transaction():
        try:
            with connection.transaction():
                connection.execute("SELECT 1/0")
        except psycopg.errors.DivisionByZero:
            pass
        equal(connection.execute("SELECT 2").fetchone(), (2,), "savepoint after an error")

connections = [connect(autocommit=True) for _ in range(4)]
for step in range(12):  # crosses prepare_threshold: the same names on every connection of a pool of one
    for number, connection in enumerate(connections):
        assert connection.execute("SELECT %s::int + %s::int", (step, number)).fetchone() == (step + number,)
        assert connection.execute("SELECT name FROM items WHERE name = %s", ("kept",)).fetchone() == ("kept",)
equal(len(connections), 4, "prepared statements of interleaved connections")

with connections[0].pipeline():
    cursors = [connections[0].execute("SELECT %s::int", (number,)) for number in range(100)]
    equal([cursor.fetchone()[0] for cursor in cursors], list(range(100)), "pipeline")

cursor = connections[1].cursor()
cursor.executemany("INSERT INTO items (name, amount) VALUES (%s, %s)", [(f"many {n}", n) for n in range(500)])
with cursor.copy("COPY items (name, amount) FROM STDIN") as copy:
    for number in range(1000):
        copy.write_row((f"copied {number}", number))
text = io.BytesIO()
with cursor.copy("COPY (SELECT count(*) FROM items) TO STDOUT") as copy:
    for data in copy:
        text.write(data)
equal(text.getvalue(), b"1501\n", "executemany and COPY both ways")

with connect() as connection:
    with connection.cursor(name="big") as cursor:
        cursor.execute("SELECT n FROM generate_series(1, 5000) n")
        equal(sum(row[0] for row in cursor), 12502500, "server-side cursor")

errors = []


def sleep():
    try:
        connections[2].execute("SELECT pg_sleep(30)")
    except psycopg.errors.QueryCanceled as error:
        errors.append(error.sqlstate)


thread = threading.Thread(target=sleep)
thread.start()
while thread.is_alive():
    connections[2].cancel_safe(timeout=5)
    thread.join(0.2)
equal(errors, ["57014"], "cancel")
equal(connections[2].execute("SELECT 1").fetchone(), (1,), "after the cancel")
for connection in connections:
    connection.close()
