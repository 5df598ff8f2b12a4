"""AWS in tests: moto, an emulator that speaks the services' real HTTP; it checks no signature."""

import json
import urllib.error
import urllib.request
from pathlib import Path

from . import paths
from .ports import free_port
from .process import Process
from .waiting import wait_for

PYTHON = paths.TESTBED / "aws/bin/python"
REGION = "us-east-2"
ACCOUNT = "123456789012"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIATESTTESTTEST", "AWS_SECRET_ACCESS_KEY": "key-that-is-never-printed",
        "AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": REGION}


def no_keys(home: Path) -> dict:
    """An environment in which there are no keys of AWS, and nobody to ask for some."""
    return {"AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": REGION, "HOME": str(home),
            "AWS_SHARED_CREDENTIALS_FILE": ""}


def available() -> bool:
    return PYTHON.exists()


class Moto:
    def __init__(self, directory: Path):
        self.port = free_port("127.0.0.1")
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {**KEYS, "AWS_ENDPOINT_URL": self.url}
        self.process = Process("moto", Path(directory) / "moto.log")

    def __enter__(self):
        self.process.start([PYTHON, "-B", "-m", "moto.server", "-H", "127.0.0.1", "-p", self.port])

        def up():
            try:
                with urllib.request.urlopen(self.url + "/moto-api/data.json", timeout=5):
                    return True
            except OSError:
                return not self.process.alive()
        wait_for(up, 60, "moto answers")
        assert self.process.alive(), self.process.log()
        return self

    def __exit__(self, *_):
        self.process.kill()

    def reset(self):
        with urllib.request.urlopen(urllib.request.Request(self.url + "/moto-api/reset", method="POST"), timeout=20):
            pass

    def secrets(self, action: str, **body) -> dict:
        """One call of Secrets Manager."""
        request = urllib.request.Request(self.url + "/", json.dumps(body).encode(), {
            "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"secretsmanager.{action}",
            "Authorization": f"AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/{REGION}/secretsmanager/aws4_request, "
                             "SignedHeaders=host, Signature=0"})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{action}: {error.read().decode()}") from None

    def make_secret(self, name: str, text) -> str:
        """Its ARN. `text` is a string, or what becomes JSON."""
        return self.secrets("CreateSecret", Name=name, SecretString=_text(text))["ARN"]

    def put(self, arn: str, text):
        """A new version becomes the current one, and the one before the previous."""
        self.secrets("PutSecretValue", SecretId=arn, SecretString=_text(text))


def _text(value) -> str:
    return value if isinstance(value, str) else json.dumps(value)
