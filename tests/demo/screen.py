"""What the demo writes: headings, ticks, and a table that repaints itself where there is a terminal."""

import sys
import time


class Screen:
    """Colours and cursor movements only on a terminal; otherwise plain lines."""

    def __init__(self, plain: bool = False):
        self.terminal = sys.stdout.isatty() and not plain
        self.begun = time.monotonic()
        self._painted = 0

    def style(self, text: str, code: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.terminal else text

    def bold(self, text: str) -> str:
        return self.style(text, "1")

    def dim(self, text: str) -> str:
        return self.style(text, "2")

    def green(self, text: str) -> str:
        return self.style(text, "32")

    def red(self, text: str) -> str:
        return self.style(text, "31")

    def line(self, text: str = ""):
        print(text, flush=True)

    def heading(self, text: str):
        self._painted = 0
        self.line()
        self.line(self.style(f" {text} ", "1;7") if self.terminal else f"== {text}")

    def done(self, text: str, since: float | None = None):
        took = self.dim(f"  {time.monotonic() - since:.1f} s") if since else ""
        self.line(f"  {self.green('✓')} {text}{took}")

    def failed(self, text: str):
        self.line(f"  {self.red('✗')} {text}")

    def quote(self, text: str, colour: str = "33"):
        for line in text.splitlines():
            self.line("    " + self.style(line, colour))

    def paint(self, lines: list[str]):
        """Replaces what the last paint() wrote. Without a terminal it only writes."""
        if self.terminal and self._painted:
            sys.stdout.write(f"\033[{self._painted}A")
        for line in lines:
            sys.stdout.write(line + ("\033[K\n" if self.terminal else "\n"))
        sys.stdout.flush()
        self._painted = len(lines)

    def keep_painted(self):
        """What was painted last stays."""
        self._painted = 0


def bar(value: float, limit: float, width: int = 20) -> str:
    """A gauge such as ▕██████▌      ▏."""
    eighths = round(min(1.0, value / limit if limit else 0.0) * width * 8)
    full, rest = divmod(eighths, 8)
    text = "█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")
    return "▕" + text.ljust(width) + "▏"
