"""A worker as its surroundings see it: processes, and what its probes say."""

import urllib.error
import urllib.request

import psutil

from tests.system.commands import Process


class Worker:
    """A worker, its process and its port."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self._url = f"http://127.0.0.1:{port}"

    def ready(self) -> bool:
        """What its readiness probe says."""
        return self._status("/readyz") == 200

    def ready_or_ended(self) -> bool:
        """Whether there is nothing more to wait for after its start."""
        return self.ready() or not self.process.running()

    def alive(self) -> bool:
        """Whether its metrics endpoint answers: the nearest there is to a liveness probe."""
        return self.process.running() and self._status("/metrics") == 200

    def page(self) -> str:
        """Its metrics as they are served; empty where it has ended."""
        try:
            with urllib.request.urlopen(f"{self._url}/metrics", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def children(self) -> list[psutil.Process]:
        """Its worker processes, those below Dramatiq's parent."""
        return [child for child in psutil.Process(self.process.pid).children() if child.num_threads() > 1]

    def kill(self) -> None:
        """SIGKILL to all of it, as when a container is out of memory."""
        self.process.kill()

    def _status(self, path: str) -> int:
        try:
            with urllib.request.urlopen(self._url + path, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0
