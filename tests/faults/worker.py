"""A worker as its surroundings see it: processes, and what its probes say."""

import signal
import urllib.error
import urllib.request

import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.system.commands import Process


class Worker:
    """A worker, its port and how many ``processes`` of it call. ``last_page`` has its metrics as they were just before
    it was ended.
    """

    def __init__(self, process: Process, port: int, processes: int = 1) -> None:
        self.process = process
        self.processes = processes
        self.last_page = ""
        self.port = port
        self._url = f"http://127.0.0.1:{port}"

    def ready(self) -> bool:
        """What its readiness probe says."""
        return self._status("/readyz") == 200

    def ready_or_ended(self) -> bool:
        """Whether there is nothing more to wait for after its start."""
        return self.ready() or not self.process.running()

    def alive(self) -> bool:
        """What its liveness probe says."""
        return self.process.running() and self._status("/livez") == 200

    def page(self) -> str:
        """Its metrics as they are served; empty where it has ended."""
        try:
            with urllib.request.urlopen(f"{self._url}/metrics", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def counted(self, name: str) -> float:
        """The sum of a counter or gauge on its page."""
        families = text_string_to_metric_families(self.page())
        return sum(sample.value for family in families for sample in family.samples if sample.name == name)

    def children(self) -> list[psutil.Process]:
        """Its worker processes, those below Dramatiq's parent; from Python 3.14 on not its own children."""
        return [child for child in psutil.Process(self.process.pid).children(recursive=True) if child.num_threads() > 1]

    def terminate(self, *, group: bool = False) -> None:
        """SIGTERM, to its whole process group if told so."""
        self.last_page = self.page()
        self.process.signal(signal.SIGTERM, group=group)

    def kill(self) -> None:
        """SIGKILL to all of it, as when a container is out of memory."""
        self.last_page = self.page() or self.last_page
        self.process.kill()

    def _status(self, path: str) -> int:
        try:
            with urllib.request.urlopen(self._url + path, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0
