"""Clients against server connections over time: as a PNG, made of nothing but zlib, and as a few lines of text."""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

# 3 × 5 dots for each letter, row by row.
_GLYPHS = {
    "A": "25755", "B": "65656", "C": "34443", "D": "65556", "E": "74647", "F": "74644", "G": "34553", "H": "55755",
    "I": "72227", "J": "11152", "K": "55655", "L": "44447", "M": "57755", "N": "65555", "O": "25552", "P": "65644",
    "Q": "25563", "R": "65655", "S": "34216", "T": "72222", "U": "55557", "V": "55552", "W": "55775", "X": "55255",
    "Y": "55222", "Z": "71247", "0": "75557", "1": "26227", "2": "61247", "3": "61216", "4": "55711", "5": "74616",
    "6": "34757", "7": "71222", "8": "75757", "9": "75716", ",": "00024", ".": "00002", ":": "02020", "/": "11244",
    "-": "00700", "%": "51245", " ": "00000"}
_PAPER, _INK, _GRID = (255, 255, 255), (60, 66, 74), (222, 226, 231)
_CLIENTS, _SERVERS, _LIMIT = (47, 111, 208), (45, 163, 107), (179, 38, 30)
_GROUPS = ((47, 111, 208), (45, 163, 107), (224, 149, 41), (128, 82, 184))
_STEPS = " ▁▂▃▄▅▆▇█"


@dataclass
class Moment:
    at: float  # seconds
    clients: int
    servers: int
    limit: int


@dataclass
class Turn:
    """What each group of sidecars may have, and all of them together."""

    at: float  # seconds
    parts: list[int]
    limit: int


class Canvas:
    def __init__(self, width: int, height: int):
        self.width, self.height = width, height
        self.rows = [bytearray(_PAPER * width) for _ in range(height)]

    def box(self, left: int, top: int, right: int, bottom: int, colour):
        left, right = max(0, left), min(self.width, right)
        for row in self.rows[max(0, top):max(0, bottom)]:
            row[3 * left:3 * right] = bytes(colour) * max(0, right - left)

    def text(self, left: int, top: int, words: str, colour=_INK, dot: int = 2):
        for letter in words.upper():
            for y, bits in enumerate(_GLYPHS.get(letter, _GLYPHS["-"])):
                for x in range(3):
                    if int(bits) >> (2 - x) & 1:
                        self.box(left + x * dot, top + y * dot, left + (x + 1) * dot, top + (y + 1) * dot, colour)
            left += 4 * dot

    def png(self) -> bytes:
        def chunk(kind: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        pixels = b"".join(b"\0" + bytes(row) for row in self.rows)
        return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(pixels, 9)) + chunk(b"IEND", b""))


def _panel(canvas: Canvas, area, moments, values, top_value: int, colour, title: str):
    left, top, right, bottom = area
    begin, span = moments[0].at, max(moments[-1].at - moments[0].at, 1e-9)
    for part in range(5):
        y = bottom - (bottom - top) * part // 4
        canvas.box(left, y, right, y + 1, _GRID)
        canvas.text(left - 70, y - 5, f"{top_value * part // 4:>7,}")
    for number, moment in enumerate(moments):
        x = left + int((right - left) * (moment.at - begin) / span)
        end = left + int((right - left) * (moments[min(number + 1, len(moments) - 1)].at - begin) / span)
        height = int((bottom - top) * min(values[number], top_value) / top_value)
        canvas.box(x, bottom - height, max(end, x + 1), bottom, colour)
        if title.startswith("server"):
            y = bottom - int((bottom - top) * min(moment.limit, top_value) / top_value)
            canvas.box(x, y - 1, max(end, x + 2), y + 1, _LIMIT)
    canvas.text(left, top - 18, title, colour)


def _stack(canvas: Canvas, area, turns: list[Turn]):
    """One group upon the other, under the line that all of them have together."""
    left, top, right, bottom = area
    begin, span, most = turns[0].at, max(turns[-1].at - turns[0].at, 1e-9), max(turn.limit for turn in turns)
    top_value = most + 10 - most % 10
    for value in range(0, top_value + 1, 10):
        y = bottom - (bottom - top) * value // top_value
        canvas.box(left, y, right, y + 1, _GRID)
        canvas.text(left - 70, y - 5, f"{value:>7,}")
    for number, turn in enumerate(turns):
        x = left + int((right - left) * (turn.at - begin) / span)
        end = max(x + 1, left + int((right - left) * (turns[min(number + 1, len(turns) - 1)].at - begin) / span))
        below = 0
        for part, colour in zip(turn.parts, _GROUPS):
            canvas.box(x, bottom - (bottom - top) * (below + part) // top_value, end,
                       bottom - (bottom - top) * below // top_value, colour)
            below += part
        y = bottom - (bottom - top) * turn.limit // top_value
        canvas.box(x, y - 1, max(end, x + 2), y + 1, _LIMIT)
    canvas.text(left, top - 18, f"{most} connections of 20 sidecars: four groups in turn want all of them", _INK)
    canvas.text(left, bottom + 8, "0 s")
    canvas.text(right - 50, bottom + 8, f"{span:.0f} s")


def draw(path: Path, moments: list[Moment], marks: list[tuple[float, str]], turns: list[Turn]):
    """`marks`: what happened when."""
    canvas = Canvas(960, 660 if turns else 440)
    if turns:
        _stack(canvas, (90, 486, 940, 630), turns)
    canvas.text(90, 14, "dbproxy demo: clients, and the server connections that they share", _INK, 3)
    left, right = 90, 940
    most = max(max(moment.limit, moment.servers) for moment in moments)
    _panel(canvas, (left, 72, right, 190), moments, [each.clients for each in moments],
           max(4, max(each.clients for each in moments)), _CLIENTS, "clients")
    _panel(canvas, (left, 232, right, 390), moments, [each.servers for each in moments], max(4, most + -most % 4),
           _SERVERS, "server connections, under their limit in red")
    begin, span = moments[0].at, max(moments[-1].at - moments[0].at, 1e-9)
    for number, (at, words) in enumerate(marks):
        x = left + int((right - left) * (at - begin) / span)
        for y in range(60, 396, 6):
            canvas.box(x, y, x + 1, y + 3, _INK)
        canvas.text(min(x + 4, right - 8 * len(words)), 398 + 14 * (number % 2), words)
    canvas.text(left, 426, "0 s")
    canvas.text(right - 50, 426, f"{span:.0f} s")
    path.write_bytes(canvas.png())


def lines(moments: list[Moment], width: int = 64) -> list[str]:
    """The same as text: two rows of bars with what they end at."""
    def bars(values: list[int], top: int) -> str:
        picked = [values[index * len(values) // width] for index in range(width)] if len(values) > width else values
        return "".join(_STEPS[round(min(value, top) / max(top, 1) * (len(_STEPS) - 1))] for value in picked)
    last, limit = moments[-1], max(each.limit for each in moments)
    return [f"clients      {bars([each.clients for each in moments], max(each.clients for each in moments))} {last.clients:,}",
            f"connections  {bars([each.servers for each in moments], limit)} {last.servers:,} of at most {last.limit:,}"]


def turn_lines(turns: list[Turn], width: int = 64) -> list[str]:
    """What each group has, over the same budget."""
    if not turns:
        return []
    picked = [turns[index * len(turns) // width] for index in range(width)] if len(turns) > width else turns
    last = len(_STEPS) - 1
    return [f"group {number + 1}      " + "".join(_STEPS[min(last, round(turn.parts[number] / turn.limit * last))]
                                                  for turn in picked) for number in range(len(turns[0].parts))]
