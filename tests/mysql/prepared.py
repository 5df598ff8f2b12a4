"""Prepared statements of the protocol over a connection of PyMySQL's, which has none of its own."""

import struct

from pymysql.constants import COMMAND

_STRING = b"\xfd\x00"


class PreparedClient:
    """Parameters and the first column are strings. Types are sent with the first execution only, as drivers do."""

    def __init__(self, connection):
        self._connection = connection
        self._statements: dict[str, list] = {}

    def prepare(self, name: str, text: str):
        self._connection._execute_command(COMMAND.COM_STMT_PREPARE, text)
        first = self._connection._read_packet()._data
        number, columns, parameters = struct.unpack("<IHH", first[1:9])
        for count in (parameters, columns):
            for _ in range(count + bool(count)):  # their definitions, and an EOF
                self._connection._read_packet()
        self._statements[name] = [number, False]

    def send(self, name: str, *values: str):
        """Its answer is for rows()."""
        number, typed = self._statements[name]
        self._statements[name][1] = True
        body = struct.pack("<IBI", number, 0, 1) + bytes((len(values) + 7) // 8)
        body += b"\0" if typed else b"\1" + _STRING * len(values)
        body += b"".join(bytes([len(value)]) + value.encode() for value in values)
        self._connection._execute_command(COMMAND.COM_STMT_EXECUTE, body)

    def execute(self, name: str, *values: str) -> list[bytes]:
        """The first column of each row, of less than 251 bytes."""
        self.send(name, *values)
        return list(self._first_columns())

    def rows(self) -> int:
        return sum(1 for _ in self._first_columns())

    def _first_columns(self):
        columns = self._connection._read_packet()._data[0]
        for _ in range(columns + 1):
            self._connection._read_packet()
        while not (packet := self._connection._read_packet()).is_eof_packet():
            start = 1 + (columns + 9) // 8
            size = packet._data[start]
            yield packet._data[start + 1:start + 1 + size]
