"""Whoever reaches the metrics port asks as badly as can be: it costs no call, no pace and no probe."""

import contextlib
import urllib.request

import psutil
import pytest

from tests.faults.crowd import CLIENTS, MANNERS
from tests.faults.site import PATIENCE, Site
from tests.faults.worker import Worker
from tests.services import wait_until
from worker.instants import SECOND

PACE = 20
"""Calls a second of each shop: the crowd is there for as long as the jobs take at that."""

JOBS = 600

DESCRIPTORS = 1024
"""What a process usually may have open: the crowd alone would take them all."""

MOST_THREADS = 10
MOST_FILES = 300
"""What the crowd, and the jobs, may hold of the process besides what it has when it begins."""

KUBELET_SECONDS = 5
"""How long the manifests let a probe wait."""


def probe(worker: Worker) -> bool:
    """Whether both probes are answered well in the time that a kubelet gives them."""
    with contextlib.suppress(OSError):
        for path in ("livez", "readyz"):
            with urllib.request.urlopen(f"http://127.0.0.1:{worker.port}/{path}", timeout=KUBELET_SECONDS):
                pass
        return True
    return False


@pytest.mark.parametrize("manners", [["half_sent"], list(MANNERS)], ids=["half_sent", "every_manner"])
def test_a_crowd_at_the_metrics(site: Site, manners: list[str]) -> None:
    """A thousand requests hang at a worker's port: each probe is answered, each job done, and the pace kept."""
    site.configure(per_second=PACE, burst=5)
    (worker,) = site.start(1)
    (child,) = worker.children()
    child.rlimit(psutil.RLIMIT_NOFILE, (DESCRIPTORS, child.rlimit(psutil.RLIMIT_NOFILE)[1]))
    threads, connections = child.num_threads(), child.num_fds()
    crowd = site.desk.start(str(worker.port), *manners, program="tests.faults.crowd")
    wait_until(lambda: crowd.stdout, PATIENCE, "the crowd to be there")
    site.faults += CLIENTS
    answered, held = [], []

    def all_called() -> bool:
        answered.append(probe(worker))
        held.append((child.num_threads() - threads, child.num_fds() - connections))
        return len(site.upstream.calls()) >= JOBS

    site.publish(site.jobs(JOBS))
    wait_until(all_called, PATIENCE, "every job's call")
    site.settle()
    assert crowd.running(), crowd.stderr[-3000:]

    site.judge()
    assert site.ended.outcomes == {"sent": JOBS}
    assert all(answered), f"{answered.count(False)} of {len(answered)} probes got no answer"
    assert max(more for more, _ in held) <= MOST_THREADS, held
    assert max(more for _, more in held) <= MOST_FILES, held
    arrivals = [call.at for call in site.upstream.calls()]
    pace = JOBS * SECOND / (max(arrivals) - min(arrivals))
    assert pace > len(site.shops) * PACE / 2, f"{pace:.1f} calls a second"
    assert site.events("requests_refused"), "nobody was refused: this row shows nothing"
    crowd.kill()
    site.stop()
