"""What temporary clusters of all engines have in common: who runs them, and their files."""

import contextlib
import os
import pwd
import shutil
from pathlib import Path

from .process import Startable


def user_to_run_as(*names: str) -> str | None:
    """Databases refuse root: the first of these users that there is, or None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in names:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise RuntimeError("running as root, and there is no unprivileged user to run a database as")


class DatabaseCluster(Startable):
    """A writer and its replicas. Use as a context manager; the directory is the caller's to remove.

    Subclasses have `writer`, `replicas`, and `user`, whose the files are.
    """

    @property
    def members(self) -> list:
        return [self.writer, *self.replicas]

    def _write(self, path: Path, text: str):
        path.write_text(text)
        path.chmod(0o600)
        if self.user:
            shutil.chown(path, self.user, self.user)

    def _private_directory(self, path: Path):
        path.mkdir(mode=0o755)
        if self.user:
            shutil.chown(path, self.user, self.user)
