"""Several processes count into one page: each job once, also after one of them was killed."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.services import wait_until
from tests.services.process import free_ports

JOBS = (100, 20, 3)


class Pod:
    """Three processes that share a folder and a port."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self.log = folder / "stderr"
        with self.log.open("a") as log:
            self.processes = [
                subprocess.Popen(
                    [sys.executable, "-m", "tests.integration.counting", str(self.port), str(jobs)],
                    env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
                for jobs in JOBS
            ]
        for number in range(len(JOBS)):
            self._answer(number, "counted")

    def tell(self, number: int, order: str) -> None:
        """Have a process do something, and wait until it has."""
        pipe = self.processes[number].stdin
        assert pipe is not None
        pipe.write(f"{order}\n")
        pipe.flush()
        self._answer(number, "done")

    def _answer(self, number: int, expected: str) -> None:
        pipe = self.processes[number].stdout
        assert pipe is not None
        assert pipe.readline().strip() == expected

    def get(self, path: str) -> tuple[int, str]:
        """The status and the body of a page; 0 while nobody serves it."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as page:
                return page.status, page.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def value(self, name: str) -> float | None:
        """The value of a series of acme, of results those that were sent; None while nobody serves it."""
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                if sample.name == name and sample.labels.get("outcome", "sent") == "sent":
                    return float(sample.value)
        return None

    def close(self) -> None:
        """End what is left."""
        for process in self.processes:
            process.kill()
            process.communicate()


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    """Three processes that have counted."""
    made = Pod(tmp_path)
    yield made
    made.close()


def test_a_killed_process(pod: Pod) -> None:
    """Its counts stay, its gauges go, and whichever process served the page, one of the living does."""
    wait_until(lambda: pod.value("referral_results_total") is not None, 20, "the page")
    assert pod.value("referral_results_total") == sum(JOBS)
    assert pod.value("refer2_requests_in_flight") == len(JOBS)
    for left in (2, 1):
        # By turns the first that lives: sooner or later it is the one that serves.
        killed = pod.processes[len(JOBS) - 1 - left]
        killed.kill()
        killed.wait()
        wait_until(lambda: pod.value("referral_results_total") is not None, 20, "another process to serve the page")
        assert pod.value("referral_results_total") == sum(JOBS)
        assert pod.value("refer2_requests_in_flight") == left
    assert pod.log.read_text() == "", "siblings share the port; only somebody else on it is worth a warning"


def test_probes(pod: Pod) -> None:
    """A process whose pump or thread hangs fails liveness, one that misses a part readiness, with the reason; a
    dead one neither.
    """
    wait_until(lambda: pod.get("/livez")[0] == 200, 20, "the page")
    assert pod.get("/readyz") == (200, "ok\n")
    pod.tell(0, "lost store")
    assert pod.get("/readyz") == (503, "not ready: store (read_only)\n")
    pod.tell(0, "found store")
    assert pod.get("/readyz") == (200, "ok\n")
    pod.tell(0, "lost store")
    pod.tell(0, "lost shops_file")
    assert "shops_file (read_only; calls go on by its last good version)" in pod.get("/readyz")[1]
    pod.tell(0, "found shops_file")
    assert pod.get("/livez") == (200, "ok\n")
    pod.tell(1, "hang")
    status, problem = pod.get("/livez")
    assert (status, problem.split(" last ")[0]) == (503, "stuck: a consumer")
    pod.tell(0, "stuck")
    assert "1 threads" in pod.get("/livez")[1]
    for process in pod.processes[:2]:
        process.kill()
        process.wait()
    wait_until(lambda: pod.get("/livez")[0] != 0, 20, "the last process to serve the page")
    assert pod.get("/livez") == (200, "ok\n")
    assert pod.get("/readyz") == (200, "ok\n")
