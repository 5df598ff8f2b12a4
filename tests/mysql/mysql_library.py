"""MySQL's own client library, of version 9: it is in the extension of mysql-connector-python, which has no option for all
that it can. https://dev.mysql.com/doc/c-api/9.4/en/mysql-options.html has the options, its header mysql.h their numbers.

A program, since it brings an OpenSSL of its own, which goes into a process first or not at all: it reads its options and
statements as JSON, and writes a list of what each became, rows or the text of an error.
"""

import ctypes
import json
import sys

import _mysql_connector

_library = ctypes.CDLL(_mysql_connector.__file__)
_library.mysql_init.restype = ctypes.c_void_p
_library.mysql_store_result.restype = ctypes.c_void_p
_library.mysql_error.restype = ctypes.c_char_p
_library.mysql_fetch_row.restype = ctypes.POINTER(ctypes.c_void_p)
_library.mysql_fetch_lengths.restype = ctypes.POINTER(ctypes.c_ulong)
_library.mysql_real_connect.restype = ctypes.c_void_p
_SSL_MODE, _COMPRESSION_ALGORITHMS, _ZSTD_LEVEL = 35, 41, 42


class Connection:
    def __init__(self, port: int, user: str, password: str, database: str, algorithms: str, level: int, tls: bool):
        self._handle = ctypes.c_void_p(_library.mysql_init(None))
        self._option(_COMPRESSION_ALGORITHMS, ctypes.c_char_p(algorithms.encode()))
        self._option(_ZSTD_LEVEL, ctypes.byref(ctypes.c_uint(level)))
        self._option(_SSL_MODE, ctypes.byref(ctypes.c_uint(3 if tls else 1)))  # required, disabled
        arguments = [name.encode() for name in ("127.0.0.1", user, password, database)]
        if not _library.mysql_real_connect(self._handle, *arguments, ctypes.c_uint(port), None, ctypes.c_ulong(0)):
            raise RuntimeError(self.error())

    def _option(self, number: int, value):
        assert _library.mysql_options(self._handle, ctypes.c_int(number), value) == 0, number

    def error(self) -> str:
        return _library.mysql_error(self._handle).decode()

    def query(self, text: str) -> list | str:
        encoded = text.encode()
        if _library.mysql_real_query(self._handle, encoded, ctypes.c_ulong(len(encoded))):
            return self.error()
        result = ctypes.c_void_p(_library.mysql_store_result(self._handle))
        found = []
        while result:
            row = _library.mysql_fetch_row(result)
            if not row:
                break
            lengths = _library.mysql_fetch_lengths(result)
            found.append([ctypes.string_at(row[column], lengths[column]).decode()
                          for column in range(_library.mysql_num_fields(result))])
        if result:
            _library.mysql_free_result(result)
        elif _library.mysql_field_count(self._handle):
            return self.error()
        return found

    def close(self):
        _library.mysql_close(self._handle)


def main():
    options, statements = json.load(sys.stdin)
    connection = Connection(**options)
    json.dump([connection.query(statement) for statement in statements], sys.stdout)
    connection.close()


if __name__ == "__main__":
    main()
