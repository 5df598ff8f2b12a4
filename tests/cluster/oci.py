"""Writes container images without a registry, a daemon or a build tool: one layer, as an OCI layout in a tar.

`ctr images import`, `docker load` and `podman load` take the result. The same input gives the same bytes.
"""

import gzip
import hashlib
import io
import json
import os
import platform
import re
import subprocess
import tarfile
from pathlib import Path

_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


class Image:
    """What is added becomes the only layer. Paths are absolute; parents are made."""

    def __init__(self):
        self._entries: dict[str, tuple[tarfile.TarInfo, bytes]] = {}

    def _add(self, path: str, mode: int, kind: bytes, content: bytes = b"", link: str = "", owner: int = 0):
        for parent in reversed(Path(path).parents):
            if str(parent) != "/" and str(parent) not in self._entries:
                self._entry(str(parent), 0o755, tarfile.DIRTYPE)
        self._entry(path, mode, kind, content, link, owner)

    def _entry(self, path, mode, kind, content=b"", link="", owner=0):
        info = tarfile.TarInfo(path.lstrip("/"))
        info.mode, info.type, info.size, info.linkname, info.uid, info.gid = mode, kind, len(content), link, owner, owner
        self._entries[path] = (info, content)

    def directory(self, path: str, mode: int = 0o755, owner: int = 0):
        self._add(path, mode, tarfile.DIRTYPE, owner=owner)
        return self

    def text(self, path: str, content: str, mode: int = 0o644):
        self._add(path, mode, tarfile.REGTYPE, content.encode())
        return self

    def link(self, path: str, target: str):
        self._add(path, 0o777, tarfile.SYMTYPE, link=target)
        return self

    def file(self, source: Path, path: str | None = None, mode: int | None = None):
        """A copy of a file of this machine, symbolic links followed."""
        found = Path(source).resolve()
        self._add(path or str(source), mode or (0o755 if os.access(found, os.X_OK) else 0o644), tarfile.REGTYPE,
                  found.read_bytes())
        return self

    def program(self, source: Path, path: str | None = None):
        """A file and the shared libraries that the loader would give it here, at the paths where it looks."""
        self.file(source, path, 0o755)
        listed = subprocess.run(["ldd", str(source)], capture_output=True, text=True)
        if "not found" in listed.stdout:
            raise RuntimeError(f"{source} lacks libraries:\n{listed.stdout}")
        for library in re.findall(r"(?:=> )?(/\S+) \(0x", listed.stdout):
            self.file(Path(library))
        return self

    def replace(self, path: str, before: bytes, after: bytes):
        """In a file that was added: as many bytes as before, and once exactly, so that programs stay what they are."""
        info, content = self._entries[path]
        if content.count(before) != 1 or len(before) != len(after):
            raise RuntimeError(f"{before!r} is not once in {path}, or not as long as {after!r}")
        self._entries[path] = (info, content.replace(before, after))
        return self

    def library(self, source: Path):
        """One that is loaded by name at run time, with what it needs itself."""
        return self.program(source)

    def users(self, users: dict[str, int]):
        self.text("/etc/passwd", "".join(f"{name}:x:{number}:{number}::/:/bin/sh\n" for name, number in users.items()))
        return self.text("/etc/group", "".join(f"{name}:x:{number}:\n" for name, number in users.items()))

    def write(self, archive: Path, reference: str, entrypoint: list[str], user: str = "0", environment: list[str] = ()):
        """reference: name:tag, as it is written in a pod."""
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for path in sorted(self._entries):
                info, content = self._entries[path]
                tar.addfile(info, io.BytesIO(content) if content else None)
        plain = layer.getvalue()
        packed = gzip.compress(plain, compresslevel=1, mtime=0)
        blobs: dict[str, bytes] = {}

        def blob(content: bytes, media_type: str) -> dict:
            digest = hashlib.sha256(content).hexdigest()
            blobs[digest] = content
            return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

        def document(value: dict, media_type: str) -> dict:
            return blob(json.dumps(value, sort_keys=True).encode(), media_type)

        prefix = "application/vnd.oci.image"
        layers = [blob(packed, f"{prefix}.layer.v1.tar+gzip")]
        config = document({
            "architecture": _ARCHITECTURE, "os": "linux",
            "config": {"Entrypoint": entrypoint, "User": user, "WorkingDir": "/",
                       "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *environment]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(plain).hexdigest()}"]},
        }, f"{prefix}.config.v1+json")
        manifest = document({"schemaVersion": 2, "mediaType": f"{prefix}.manifest.v1+json", "config": config,
                             "layers": layers}, f"{prefix}.manifest.v1+json")
        manifest["annotations"] = {"io.containerd.image.name": reference,
                                   "org.opencontainers.image.ref.name": reference.rpartition(":")[2]}
        manifest["platform"] = {"architecture": _ARCHITECTURE, "os": "linux"}
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
            def add(name: str, content: bytes):
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(content), 0o644
                tar.addfile(info, io.BytesIO(content))
            add("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            add("index.json", json.dumps({"schemaVersion": 2, "manifests": [manifest]}).encode())
            for digest, content in blobs.items():
                add(f"blobs/sha256/{digest}", content)
        return archive
