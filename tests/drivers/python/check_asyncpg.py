"""asyncpg with its default settings: extended protocol, binary, a cache of named prepared statements, own pool."""

import asyncio
import datetime
import decimal
import io
import uuid

import asyncpg
from common import DATABASE, HOST, PASSWORD, PORT, SSLMODE, USER, equal

OPTIONS = {"host": HOST, "port": PORT, "user": USER, "password": PASSWORD, "database": DATABASE, "ssl": SSLMODE}


async def main():
    connection = await asyncpg.connect(**OPTIONS)
    values = (42, "naïve ☃", decimal.Decimal("12.34"), b"\x00\xff", True, None, [1, 2, 3], uuid.UUID(int=7),
              datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc), 1.5)
    types = "$1::int, $2::text, $3::numeric, $4::bytea, $5::bool, $6::text, $7::int[], $8::uuid, $9::timestamptz, " \
            "$10::float8"
    equal(tuple(await connection.fetchrow(f"SELECT {types}", *values)), values, "types")

    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("INSERT INTO items (name) VALUES ('rolled back')")
    await transaction.rollback()
    async with connection.transaction():
        await connection.execute("INSERT INTO items (name, amount) VALUES ($1, $2)", "kept", decimal.Decimal("2"))
    equal(await connection.fetchval("SELECT array_agg(name) FROM items"), ["kept"], "commit and rollback")

    try:
        await connection.execute("INSERT INTO items (name) VALUES ($1)", "kept")
    except asyncpg.UniqueViolationError as error:
        equal(error.sqlstate, "23505", "error")

    others = [await asyncpg.connect(**OPTIONS) for _ in range(4)]
    for step in range(10):
        for number, other in enumerate(others):
            assert await other.fetchval("SELECT $1::int + $2::int", step, number) == step + number
            assert await other.fetchval("SELECT name FROM items WHERE name = $1", "kept") == "kept"
    equal(len(others), 4, "prepared statements of interleaved connections")

    statement = await others[0].prepare("SELECT $1::int * 2")
    equal([await statement.fetchval(n) for n in range(10)], [2 * n for n in range(10)], "prepare")
    equal([attribute.name for attribute in statement.get_attributes()], ["?column?"], "description")

    await others[1].executemany("INSERT INTO items (name) VALUES ($1)", [(f"many {n}",) for n in range(500)])
    await others[1].copy_records_to_table("items", columns=["name", "amount"], records=[
        (f"copied {n}", decimal.Decimal(n)) for n in range(1000)])
    out = io.BytesIO()
    await others[1].copy_from_query("SELECT count(*) FROM items", output=out)
    equal(out.getvalue(), b"1501\n", "executemany and COPY both ways")

    total = 0
    async with others[2].transaction():
        async for row in others[2].cursor("SELECT n FROM generate_series(1, 5000) n"):
            total += row["n"]
    equal(total, 12502500, "cursor")

    try:
        await others[3].execute("SELECT pg_sleep(30)", timeout=0.3)
    except asyncio.TimeoutError:
        print("   cancel by time-out")
    equal(await others[3].fetchval("SELECT 1"), 1, "after the cancel")
    for other in [connection, *others]:
        await other.close()

    async with asyncpg.create_pool(**OPTIONS, min_size=2, max_size=5) as pool:
        async def work(number):
            async with pool.acquire() as each, each.transaction():
                return await each.fetchval("SELECT $1::int", number)
        equal(await asyncio.gather(*(work(n) for n in range(50))), list(range(50)), "its own pool")


asyncio.run(main())
