"""A headless Chromium that a test drives over the DevTools protocol, by pipes: no port, no further library."""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

from .waiting import wait_for

_KEYS = {"Tab": 9, "Enter": 13}


class Browser:
    """One page. What it shows is read as a person would: by its text."""

    def __init__(self, directory: Path, width: int = 1280, height: int = 900):
        home = Path(directory) / "browser"
        home.mkdir(parents=True, exist_ok=True)
        down, self._to = os.pipe()       # the browser reads 3 and writes 4
        self._from, up = os.pipe()
        self._process = subprocess.Popen(
            ["bash", "-c", 'exec "$@" 3<&%d 4>&%d' % (down, up), "bash", shutil.which("chromium"), "--headless=new",
             "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
             "--remote-debugging-pipe", f"--user-data-dir={home}", f"--window-size={width},{height}", "about:blank"],
            pass_fds=(down, up), env={**os.environ, "HOME": str(home)}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(down)
        os.close(up)
        self._buffer, self._number, self._session, self.errors = b"", 0, None, []
        target = next(each for each in self.call("Target.getTargets")["targetInfos"] if each["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._session = None
            self.call("Browser.close")
        except (OSError, EOFError):
            pass
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)
            self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def call(self, method: str, **parameters) -> dict:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(answer["params"]["exceptionDetails"].get("exception", {}).get("description"))

    def _read(self) -> dict:
        while b"\0" not in self._buffer:
            more = os.read(self._from, 1 << 16)
            if not more:
                raise EOFError("the browser has ended")
            self._buffer += more
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def open(self, url: str):
        self.call("Page.navigate", url=url)

    def evaluate(self, script: str):
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def text(self) -> str:
        return self.evaluate("document.body.innerText")

    def wait_text(self, *parts: str, timeout: float = 30) -> str:
        def shown():
            text = self.text()
            return text if all(part in text for part in parts) else ""
        try:
            return wait_for(shown, timeout, f"the page shows {parts}", interval=0.1)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.text()}\n{self.errors}") from None

    def type(self, text: str):
        self.call("Input.insertText", text=text)

    def press(self, key: str):
        for kind in ("rawKeyDown", "char", "keyUp"):
            if kind == "char" and key != "Enter":
                continue
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=_KEYS[key],
                      **({"text": "\r"} if kind == "char" else {}))

    def appearance(self, scheme: str):
        """`light` or `dark`, as the system of whoever looks prefers it."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def size(self, width: int, height: int = 900):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def screenshot(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
