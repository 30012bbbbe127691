"""A headless Chromium, driven by its DevTools protocol: what a page asks for, says, shows and holds."""

import base64
import json
import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")

Scheme = Literal["light", "dark"]

_FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-sandbox",  # refuses to run as root, and in containers; the only pages here are ours
    "about:blank",
)


@dataclass
class Page:
    """One page of a browser. ``requests`` are the addresses it asked for, ``said`` what its console and log have.

    Every method may block for a minute, and raises ``AssertionError`` if the browser says no.
    """

    _to: int
    _from: int
    requests: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    _session: str = ""
    _sent: int = 0
    _unread: bytes = b""
    _loaded: bool = False

    def attach(self) -> None:
        """Take hold of the browser's first page."""
        (target,) = (t for t in self._call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self._session = self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self._call(f"{domain}.enable")

    def open(self, path: Path) -> None:
        """Show a file, and wait until it and whatever it asks for is loaded."""
        self.requests.clear()
        self.said.clear()
        self._loaded = False
        self._call("Page.navigate", url=path.as_uri())
        while not self._loaded:
            self._take()

    def resize(self, width: int, height: int = 800, *, scheme: Scheme = "light", media: str = "") -> None:
        """Show the page on a screen of this size, in this scheme of colours; ``media`` may be ``print``."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._call("Emulation.setEmulatedMedia", media=media, features=features)

    def evaluate(self, expression: str) -> Any:
        """The JSON value of an expression of JavaScript. The page's own policy doesn't bind the one who looks at it."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """Write a picture of the whole page (PNG)."""
        answer = self._call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    def table(self, name: str) -> list[list[str]]:
        """The cells of a table by its id, row by row as an assistive program reads them: head, body, then foot."""
        rows: list[list[str]] = self.evaluate(
            f"[...document.getElementById({json.dumps(name)}).rows]"
            ".map(row => [...row.cells].map(cell => cell.textContent.trim().replace(/\\s+/g, ' ')))"
        )
        return rows

    def roles(self) -> Counter[str]:
        """How many things of each role an assistive program finds on the page."""
        nodes = self._call("Accessibility.getFullAXTree")["nodes"]
        return Counter(node["role"]["value"] for node in nodes if not node["ignored"])

    def _call(self, method: str, **parameters: Any) -> Any:
        self._sent += 1
        message: dict[str, Any] = {"id": self._sent, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._take()).get("id") != self._sent:
            pass
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def _take(self) -> dict[str, Any]:
        """The browser's next message; an event is noted too."""
        while b"\0" not in self._unread:
            more = os.read(self._from, 1 << 20)
            assert more, "the browser has ended"
            self._unread += more
        raw, _, self._unread = self._unread.partition(b"\0")
        message: dict[str, Any] = json.loads(raw)
        match message:
            case {"method": "Network.requestWillBeSent", "params": {"request": {"url": url}}}:
                self.requests.append(url)
            case {"method": "Log.entryAdded" | "Runtime.consoleAPICalled" | "Runtime.exceptionThrown"}:
                self.said.append(json.dumps(message["params"]))
            case {"method": "Page.loadEventFired"}:
                self._loaded = True
            case _:
                pass
        return message


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A page of a browser that keeps everything in the folder ``profile``, and ends with the ``with``."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    assert program, f"no Chromium is installed ({', '.join(NAMES)}); scripts/chromium installs Debian's as root"
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    # The protocol's pipe is always 3 and 4, which may be other files here. Not by sh, which may know one digit only.
    command = [
        "bash",
        "-c",
        f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}',
        program,
        f"--user-data-dir={profile}",
        *_FLAGS,
    ]
    process = subprocess.Popen(
        command,
        pass_fds=(theirs_in, theirs_out),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        page = Page(ours_out, ours_in)
        page.attach()
        yield page
    finally:
        # Its helpers are of its group.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(ours_out)
        os.close(ours_in)
