"""A client that compresses: PyMySQL, which does not, with a layer between it and its socket. zstd is the system's library."""

import ctypes
import struct
import zlib

import pymysql
from pymysql.constants import CLIENT

ZLIB, ZSTD = 1 << 5, 1 << 26
_zstd = ctypes.CDLL("libzstd.so.1")
for _function in (_zstd.ZSTD_compressBound, _zstd.ZSTD_compress, _zstd.ZSTD_decompress):
    _function.restype = ctypes.c_size_t


def _zstd_compress(data: bytes) -> bytes:
    room = _zstd.ZSTD_compressBound(ctypes.c_size_t(len(data)))
    out = ctypes.create_string_buffer(room)
    size = _zstd.ZSTD_compress(out, ctypes.c_size_t(room), data, ctypes.c_size_t(len(data)), 3)
    return out.raw[:size]


def _zstd_decompress(data: bytes, length: int) -> bytes:
    out = ctypes.create_string_buffer(length)
    assert _zstd.ZSTD_decompress(out, ctypes.c_size_t(length), data, ctypes.c_size_t(len(data))) == length
    return out.raw


class _Layer:
    """Socket and file in one: what PyMySQL writes to and reads from."""

    def __init__(self, connection, sock, file, algorithm: int):
        self._connection, self._sock, self._file, self._algorithm = connection, sock, file, algorithm
        self._sequence, self._plain = 0, bytearray()

    def sendall(self, data: bytes):
        if data[3] == 0:  # a request begins
            self._sequence = 0
        for begin in range(0, len(data), 0xFFFFFF):
            piece = data[begin:begin + 0xFFFFFF]
            packed = zlib.compress(piece) if self._algorithm == ZLIB else _zstd_compress(piece)
            if len(packed) >= len(piece):
                packed, length = piece, 0
            else:
                length = len(piece)
                self._connection.shrunk += 1
            self._sock.sendall(struct.pack("<I", len(packed))[:3] + bytes([self._sequence]) +
                               struct.pack("<I", length)[:3] + packed)
            self._sequence = (self._sequence + 1) % 256

    def read(self, count: int) -> bytes:
        while len(self._plain) < count:
            header = self._file.read(7)
            if len(header) < 7:
                return b""
            size, length = int.from_bytes(header[:3], "little"), int.from_bytes(header[4:], "little")
            assert header[3] == self._sequence, f"packet {header[3]} where {self._sequence} comes"
            self._sequence = (self._sequence + 1) % 256
            payload = self._file.read(size)
            if length:
                self._connection.expanded += 1
                payload = zlib.decompress(payload) if self._algorithm == ZLIB else _zstd_decompress(payload, length)
            self._plain += payload
        out = bytes(self._plain[:count])
        del self._plain[:count]
        return out

    def __getattr__(self, name):
        return getattr(self._sock, name)


class Compressed(pymysql.Connection):
    """`shrunk` and `expanded`: packets that were smaller than what is in them, sent and received."""

    def __init__(self, algorithm: int, level: int = 3, **options):
        self.shrunk = self.expanded = 0
        self._algorithm, self._level, self._layer = algorithm, level, None
        super().__init__(client_flag=algorithm | CLIENT.MULTI_STATEMENTS, **options)

    def write_packet(self, payload):
        answer = self._layer is None and len(payload) > 32 and payload[:4] == struct.pack("<I", self.client_flag)
        if answer and self._algorithm == ZSTD:
            payload += bytes([self._level])
        super().write_packet(payload)

    def _request_authentication(self):
        assert self.server_capabilities & self._algorithm, "the server offers it"
        super()._request_authentication()
        self._layer = _Layer(self, self._sock, self._rfile, self._algorithm)
        self._sock = self._rfile = self._layer
