"""What was found clean, by content: kept beside what the compiler's cache keeps, so that the next clone knows it too."""

import hashlib
import subprocess
import time
from pathlib import Path

FORGOTTEN_AFTER = 60 * 86400  # seconds without being asked for


def kept(name: str) -> Path:
    """The directory of one kind of stamps, in ccache's own; without ccache in the user's cache."""
    try:
        said = subprocess.run(["ccache", "--get-config=cache_dir"], capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        said = ""
    return Path(said or Path.home() / ".cache") / "dbproxy" / name


class Stamps:
    def __init__(self, directory: str | Path):
        self._directory = Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        now = time.time()
        for stamp in self._directory.iterdir():
            if now - stamp.stat().st_mtime > FORGOTTEN_AFTER:
                stamp.unlink(missing_ok=True)

    def _path(self, content: str) -> Path:
        return self._directory / hashlib.sha256(content.encode()).hexdigest()

    def has(self, content: str) -> bool:
        path = self._path(content)
        if path.exists():
            path.touch()
            return True
        return False

    def put(self, content: str):
        self._path(content).touch()
