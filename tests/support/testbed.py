"""A temporary directory with everything that one test run starts, and that it always removes again."""

import os
import shutil
import tempfile
from pathlib import Path

from . import mysql
from .certificates import Authority
from .postgres import Cluster
from .process import exit_on_signals, kill_all


class Testbed:
    """Context manager. keep=True leaves directory and processes to the caller."""

    __test__ = False  # not a test case, whatever pytest thinks of the name

    def __init__(self, name: str = "test", keep: bool = False):
        self.keep = keep
        # Short, because a Unix socket's path has at most 107 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix=f"dbproxy-{name}-", dir=os.environ.get("DBPROXY_TMP", "/tmp")))
        self.directory.chmod(0o755)
        self.authority = Authority(self.directory / "ca")
        self._clusters: list[Cluster | mysql.Cluster] = []

    def __enter__(self):
        exit_on_signals()
        return self

    def __exit__(self, *_):
        self.close()

    def cluster(self, **options) -> Cluster:
        """A started PostgreSQL cluster; options as Cluster takes them."""
        cluster = Cluster(self.directory / f"pg{len(self._clusters)}", authority=self.authority, **options)
        self._clusters.append(cluster)
        return cluster.start()

    def mysql_cluster(self, **options) -> mysql.Cluster:
        """A started MySQL or MariaDB cluster; options as mysql.Cluster takes them."""
        cluster = mysql.Cluster(self.directory / f"my{len(self._clusters)}", authority=self.authority, **options)
        self._clusters.append(cluster)
        return cluster.start()

    def subdirectory(self, name: str) -> Path:
        path = self.directory / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def close(self):
        if self.keep:
            return
        for cluster in self._clusters:
            cluster.stop()
        kill_all()
        shutil.rmtree(self.directory, ignore_errors=True)
