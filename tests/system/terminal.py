"""A command on a terminal, by default of 80 columns and 24 lines, and what a person sees there."""

import fcntl
import os
import pty
import struct
import termios
import threading
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from tests.services import wait_until
from tests.system.commands import Desk, warm

CLEARED = b"\x1b[2J"
"""By which a command begins a new screen."""


class Terminal:
    """Runs ``referrals``; a context manager, at whose end the command ends."""

    def __init__(self, desk: Desk, *arguments: str, columns: int = 80, env: Mapping[str, str] | None = None) -> None:
        self._master, slave = pty.openpty()
        self._slave: int | None = slave
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        clean = {name: value for name, value in desk.env.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
        held = self._held = TemporaryDirectory()
        self.process = warm().start_on(
            os.ttyname(slave),
            arguments,
            desk.folder,
            clean | {"TERM": "xterm"} | dict(env or {}),
            Path(held.name, "status"),
        )
        self._seen = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, text: str, seconds: float = 40) -> list[str]:
        """The lines of the first whole screen with that text in it."""
        found: list[list[str]] = []

        def is_there() -> bool:
            whole = self._seen.split(CLEARED)[1:-1]
            found[:] = [lines for lines in map(_lines, whole) if text in "\n".join(lines)]
            return bool(found) or self.process.poll() is not None

        wait_until(is_there, seconds, f"{text!r} on the terminal")
        assert found, self._seen.decode(errors="replace")
        return found[-1]

    @property
    def shown(self) -> str:
        """All that was written so far."""
        return self._seen.decode(errors="replace")

    def answer(self, question: str, text: str, seconds: float = 40) -> None:
        """Type a line once the question is there."""
        asked = question.encode()
        wait_until(lambda: asked in self._seen or self.process.poll() is not None, seconds, f"{question!r}")
        assert asked in self._seen, self._seen.decode(errors="replace")
        os.write(self._master, f"{text}\n".encode())

    def raw(self, seconds: float = 40) -> str:
        """All that was written to the terminal, once the command has ended."""
        self.process.wait(seconds)
        self._hang_up()
        return self._seen.decode(errors="replace")

    def whole(self, seconds: float = 40) -> list[str]:
        """All lines, once the command has ended."""
        return _lines(self.raw(seconds).encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self._hang_up()
        os.close(self._master)
        self._held.cleanup()

    def _hang_up(self) -> None:
        # Not before: the reading would end where the command hasn't opened its end yet.
        if self._slave is not None:
            os.close(self._slave)
            self._slave = None
        self._reader.join(10)

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self._master, 65536)
            except OSError:
                # Linux's error for a terminal whose other end is closed.
                return
            if not part:
                return
            self._seen += part


def _lines(screen: bytes) -> list[str]:
    text = screen.decode(errors="replace").replace("\x1b[H", "").replace("\r\n", "\n")
    return text.rstrip("\n").split("\n")
