"""How writers of a Ledger write: a row in each of `ways`, on a connection that is kept.

write() raises one of `errors`; sqlstate() says what of the server's it is, if any. status() is for messages of tests.
"""

import asyncio
import contextlib
import io

import asyncpg
import psycopg
import psycopg2

_ROW = "INSERT INTO ledger VALUES (%s, %s)"


def _in_a_block(connection, row):
    with connection.transaction():
        connection.execute(_ROW, row)


def _by_copy(connection, row):
    with connection.cursor() as cursor, cursor.copy("COPY ledger FROM STDIN") as copy:
        copy.write_row(row)


def _in_a_pipeline(connection, row):
    with connection.pipeline(), connection.transaction():
        connection.execute("SELECT 1")
        connection.execute(_ROW, row)


_WAYS = (_in_a_block, lambda connection, row: connection.execute(_ROW, row), _by_copy, _in_a_pipeline,
         lambda connection, row: connection.execute(_ROW, row, prepare=True))


class Psycopg:
    """libpq and the extended protocol: a block, a statement, COPY, a pipeline, a prepared statement."""

    errors = (psycopg.Error,)
    ways = len(_WAYS)

    def __init__(self, dsn: str):
        self._connection = psycopg.connect(dsn, autocommit=True)

    def write(self, way: int, row):
        _WAYS[way](self._connection, row)

    @staticmethod
    def sqlstate(error) -> str | None:
        return error.sqlstate

    def status(self):
        return self._connection.info.transaction_status

    @property
    def closed(self) -> bool:
        return self._connection.closed

    def close(self):
        self._connection.close()


class Psycopg2:
    """libpq and the simple protocol: a statement, a block of three, COPY."""

    errors = (psycopg2.Error,)
    ways = 3

    def __init__(self, dsn: str):
        self._connection = psycopg2.connect(dsn)
        self._connection.autocommit = True

    def write(self, way: int, row):
        with self._connection.cursor() as cursor:
            if way == 0:
                cursor.execute(_ROW, row)
            elif way == 1:
                cursor.copy_expert("COPY ledger FROM STDIN", io.StringIO(f"{row[0]}\t{row[1]}\n"))
            else:
                try:
                    cursor.execute("BEGIN")
                    cursor.execute(_ROW, row)
                    cursor.execute("COMMIT")
                except psycopg2.Error:
                    with contextlib.suppress(psycopg2.Error):
                        cursor.execute("ROLLBACK")
                    raise

    @staticmethod
    def sqlstate(error) -> str | None:
        return error.pgcode

    def status(self):
        return self._connection.get_transaction_status()

    @property
    def closed(self) -> bool:
        return self._connection.closed != 0

    def close(self):
        self._connection.close()


class Asyncpg:
    """A protocol of its own: prepared statements, in binary, that it keeps; a block; COPY."""

    errors = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
    ways = 3

    def __init__(self, dsn: str):
        given = psycopg.conninfo.conninfo_to_dict(dsn)
        self._loop = asyncio.new_event_loop()
        self._connection = self._loop.run_until_complete(asyncpg.connect(
            host=given["host"], port=int(given["port"]), user=given["user"], password=given["password"],
            database=given["dbname"], ssl=False, timeout=60))

    def write(self, way: int, row):
        self._loop.run_until_complete(self._write(way, row))

    async def _write(self, way, row):
        if way == 0:
            await self._connection.execute("INSERT INTO ledger VALUES ($1, $2)", *row)
        elif way == 1:
            await self._connection.copy_records_to_table("ledger", records=[row])
        else:
            async with self._connection.transaction():
                await self._connection.execute("INSERT INTO ledger VALUES ($1, $2)", *row)

    @staticmethod
    def sqlstate(error) -> str | None:
        return getattr(error, "sqlstate", None)

    def status(self):
        return self._connection.is_in_transaction()

    @property
    def closed(self) -> bool:
        return self._connection.is_closed()

    def close(self):
        self._loop.run_until_complete(self._connection.close(timeout=10))
        self._loop.close()


DRIVERS = (Psycopg, Psycopg, Asyncpg, Psycopg2)
