"""Worker processes of both sides, with real signals and a process group of their own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dramatiq
import psutil
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from tests.integration.stock.upstream import Upstream
from tests.services import Vhost, wait_until

REPOSITORY = Path(__file__).parents[3]
QUEUE = "stock"
THREADS = 4

READY = "Worker process is ready for action"
STOPPING = "Stopping worker process"
"""What Dramatiq's worker process logs."""


@dataclass
class Running:
    """A worker's processes: Dramatiq's parent, and the child that works."""

    parent: subprocess.Popen[bytes]
    log: Path

    def logged(self, text: str) -> bool:
        return text in self.log.read_text()

    @property
    def child(self) -> psutil.Process:
        """The process with the worker threads."""
        # From Python 3.14 on it is a grandchild, beside multiprocessing's helpers, which have one thread each.
        below = psutil.Process(self.parent.pid).children(recursive=True)
        (child,) = (process for process in below if process.num_threads() > 1)
        return child

    def stop_as_a_group(self) -> None:
        """SIGTERM as a process group gets it: the child has its own, and another one from its parent.

        Sent to the group at once the two may arrive as one; this is the order in which they arrive as two.
        """
        self.child.send_signal(signal.SIGTERM)
        wait_until(lambda: self.logged(STOPPING), 10, "the first signal to be handled")
        os.killpg(self.parent.pid, signal.SIGTERM)


@contextmanager
def started(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[Running]:
    """Worker processes in a group of their own, ready to work; whoever is left at the end is killed."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("REFERRALS_")}
    with (
        log.open("wb") as file,
        subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=REPOSITORY,
            env={**inherited, **environment},
            stdout=file,
            stderr=file,
            start_new_session=True,
        ) as parent,
    ):
        running = Running(parent, log)
        try:
            wait_until(lambda: running.logged(READY), 30, "the worker to be ready")
            yield running
        finally:
            if parent.poll() is None:
                for child in psutil.Process(parent.pid).children():
                    child.kill()
                parent.kill()


@contextmanager
def stock(vhost: Vhost, upstream: Upstream, folder: Path, *, messages: int) -> Iterator[Running]:
    """The stock worker, with messages to work on."""
    broker = RabbitmqBroker(url=vhost.url)
    broker.declare_queue(QUEUE, ensure=True)
    for number in range(messages):
        broker.enqueue(dramatiq.Message(queue_name=QUEUE, actor_name="call", args=(number,), kwargs={}, options={}))
    broker.close()
    command = ["dramatiq", "tests.integration.stock.stock_worker", "--processes", "1", "--threads", str(THREADS)]
    environment = {"STOCK_AMQP_URL": vhost.url, "STOCK_UPSTREAM": upstream.url}
    with started(command, environment, folder / "worker.log") as running:
        yield running
