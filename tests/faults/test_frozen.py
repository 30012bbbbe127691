"""A worker that is frozen past its lease: another takes its jobs over, and when it wakes it does no harm."""

import os
import signal
from collections import Counter

from tests.faults.drain import DEAD, RESULTS
from tests.faults.site import PATIENCE, THREADS, Site
from tests.faults.upstream import always, slow
from tests.services import wait_until


def test_frozen_past_its_lease(site: Site) -> None:
    """The answers that it reads when it wakes are neither published nor acknowledged: another has the jobs by then."""
    site.configure(per_second=10, burst=5)
    site.upstream.plan = always(slow(0.5))
    frozen, _ = site.start(2)
    site.publish(site.jobs(60))
    wait_until(lambda: site.upstream.in_progress > THREADS, PATIENCE, "both to have calls under way")
    os.killpg(frozen.process.pid, signal.SIGSTOP)
    site.faults += 1
    # Its heartbeats would end its connection within three minutes. The other one connects again at once.
    site.rabbitmq.ctl("close_all_connections", "--vhost", site.vhost.name, "frozen")
    # RabbitMQ's depths are up to half a second old: before all are called, they may not show yet what was published.
    wait_until(lambda: len({call.job_id for call in site.upstream.calls()}) == 60, PATIENCE, "every job's call")
    wait_until(lambda: not site.depths().keys() - {RESULTS, DEAD}, PATIENCE, "the other to do all that is left")
    os.killpg(frozen.process.pid, signal.SIGCONT)
    wait_until(lambda: site.events("fenced"), PATIENCE, "the frozen one to find out")
    site.settle()

    # Each of its threads may have had a call under way when it froze.
    verdict = site.judge(repeats=THREADS)
    assert verdict.repeats > 0, "nothing was under way when the worker froze: this row shows nothing"
    # What it had recorded and not seen confirmed goes out again on waking, as another may have sent it; but of what was
    # called twice the first answer came too late.
    results = Counter(site.ended.results)
    assert all(results[job] == 1 for job in verdict.duplicated), "a fenced worker published"
    assert site.ended.outcomes == {"sent": 60}


def test_frozen_beside_the_same_jobs(site: Site) -> None:
    """It keeps its connection, and with it the right to acknowledge; another has copies of its jobs, and ends them.

    Whatever it acknowledged of them on waking would be gone with the copy's message: each is given back instead.
    """
    site.upstream.plan = always(slow(4.5))
    frozen, other = site.start(2)
    site.publish([copy for job in site.jobs(THREADS) for copy in (job, job)])
    wait_until(lambda: site.upstream.in_progress == THREADS, PATIENCE, "every job's first call")
    # Whichever of the two has more of them.
    counts = {worker: int(worker.counted("refer2_requests_in_flight")) for worker in (frozen, other)}
    frozen = max(counts, key=lambda worker: counts[worker])
    os.killpg(frozen.process.pid, signal.SIGSTOP)
    site.faults += 1
    wait_until(lambda: len(set(site.take())) == THREADS, PATIENCE, "the other to have ended every job")
    os.killpg(frozen.process.pid, signal.SIGCONT)
    wait_until(lambda: len(site.events("fenced")) == counts[frozen], PATIENCE, "each call to be fenced")
    site.settle()

    verdict = site.judge(repeats=counts[frozen])
    assert verdict.repeats == counts[frozen] > 0
    assert len(site.ended.results) == THREADS, "a fenced worker published"
    assert site.ended.outcomes == {"sent": THREADS}
