"""A certificate authority for one test run, made with the openssl command."""

from pathlib import Path

from .process import run


class Authority:
    def __init__(self, directory: Path, name: str = "dbproxy test CA"):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.certificate = self.directory / "ca.pem"
        self.key = self.directory / "ca.key"
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-keyout", self.key, "-out", self.certificate, "-days", "2", "-subj", f"/CN={name}",
             "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"])

    def issue(self, name: str, alternatives: str = "DNS:localhost,IP:127.0.0.1,IP:::1",
              subject: str | None = None, usage: str = "serverAuth", key: str = "ec") -> tuple[Path, Path]:
        """(certificate, key) of a server, or with usage clientAuth of a client; the subject is /CN=name by default."""
        kind = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] if key == "ec" else [key]
        key, request = self.directory / f"{name}.key", self.directory / f"{name}.csr"
        certificate, extensions = self.directory / f"{name}.pem", self.directory / f"{name}.ext"
        run(["openssl", "req", "-newkey", *kind, "-nodes", "-keyout", key, "-out", request,
             "-subj", subject or f"/CN={name}"])
        extensions.write_text(f"subjectAltName={alternatives}\nextendedKeyUsage={usage}\n")
        run(["openssl", "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key,
             "-CAcreateserial", "-out", certificate, "-days", "2", "-extfile", extensions])
        return certificate, key
