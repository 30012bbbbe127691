"""What a private service is: a folder, its ports, and a life that begins empty and ends by pid."""

import abc
import json
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.services.wait import wait_until

RECORD = "service.json"

_TRIES = 3
"""A free port can be taken by somebody else before the service has it."""

_TAIL_LINES = 60
"""RabbitMQ names a bad setting first and then prints some fifty lines about how it fell."""

_PORT_TAKEN = ("eaddrinuse", "address already in use", "port is already allocated")


class ServiceError(Exception):
    """A private service can't be had; the text names the remedy or ends with the service's own log."""


class Service(abc.ABC):
    """A server of our own in ``folder``: a context manager, or ``create`` and ``stop`` it.

    ``service.json`` is written before the first process starts, so that a half-started service can be stopped too.
    """

    kind: str

    start_seconds = 60.0
    """Deadline of a start; RabbitMQ takes 7 s on two idle cores."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.record: dict[str, Any] = {}

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """What a client of the service is given."""

    @abc.abstractmethod
    def exports(self) -> dict[str, str]:
        """The environment variables that lead a program to this service."""

    @abc.abstractmethod
    def _settle(self) -> dict[str, Any]:
        """Names and free ports for a new service, as kept in ``service.json``; writes its configuration."""

    @abc.abstractmethod
    def _spawn(self) -> None:
        """Start the processes, unless they run."""

    @abc.abstractmethod
    def _answers(self) -> bool:
        """Whether the service serves clients now. Blocks for a second at most."""

    @abc.abstractmethod
    def running(self) -> bool:
        """Whether its process lives."""

    @abc.abstractmethod
    def stop(self) -> None:
        """End every process of the service, started wholly or half; its data need not survive."""

    def create(self) -> Self:
        """Start it empty on free ports; what an earlier one left in the folder is removed.

        Raises:
          ServiceError: it did not start, or the folder holds something that is not ours.
        """
        for attempt in range(1, _TRIES + 1):
            self._clear()
            self.folder.mkdir(mode=0o700, parents=True)
            self.record = {"kind": self.kind} | self._settle()
            (self.folder / RECORD).write_text(json.dumps(self.record))
            try:
                self.start()
                break
            except BaseException:
                self.stop()
                if attempt == _TRIES or not any(sign in self.log_tail().lower() for sign in _PORT_TAKEN):
                    raise
        return self

    def load(self) -> Self:
        """Take over what ``create`` made in this folder, in this program or an earlier one."""
        self.record = json.loads((self.folder / RECORD).read_text())
        return self

    def start(self) -> None:
        """Start it on its old ports with the data that its folder holds, and wait until it answers.

        Raises:
          ServiceError: it ended or did not answer within the deadline.
        """
        self._spawn()
        try:
            wait_until(lambda: self._answers() or not self.running(), self.start_seconds, f"{self.kind} to answer")
        except TimeoutError as error:
            raise ServiceError(f"{error}\n{self.log_tail()}") from None
        if not self.running():
            raise ServiceError(f"{self.kind} ended while starting; the end of {self.log}:\n{self.log_tail()}")

    @property
    def log(self) -> Path:
        return self.folder / "output.log"

    def log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-_TAIL_LINES:])

    def _clear(self) -> None:
        if (self.folder / RECORD).exists():
            self.load().stop()
            shutil.rmtree(self.folder)
        elif self.folder.exists() and any(self.folder.iterdir()):
            raise ServiceError(f"{self.folder} is not empty and not a service's: name another folder")
        elif self.folder.exists():
            self.folder.rmdir()

    def __enter__(self) -> Self:
        return self.create()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
