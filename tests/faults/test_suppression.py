"""Suppression lists while the store loses them, RabbitMQ their journal, and anything is killed amid a change of them.

Nobody on a list is called later than a second after the command that put her there.
"""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack

import pika
import pytest

from tests.faults import store_faults
from tests.faults.drain import SUPPRESSION
from tests.faults.jobs import FaultJob
from tests.faults.nodes import Nodes
from tests.faults.site import GRANTS, PATIENCE, SHOPS, THREADS, Heal, Site
from tests.faults.upstream import always, slow
from tests.services import wait_until
from tests.system.commands import Process

PER_SECOND = 10
JOBS = 300
WORKERS = 2
UNACKNOWLEDGED = 16 * len(SHOPS)

OBEYED_SECONDS = 1
"""After which no call to a suppressed address starts: what was granted before starts within a second."""

WATCHED_SECONDS = 3

LOADED = 3_000
"""Jobs that are published meanwhile of which some are suppressed."""

OTHERS = 12_000
"""Further addresses of a change, so that it is several messages and takes a moment."""


@pytest.fixture(scope="session")
def nodes(breakable: Nodes) -> Nodes:
    """One that these rows may break as long as they repair it."""
    return breakable


def begin(site: Site) -> list[FaultJob]:
    """Workers amid their jobs; returns these."""
    site.desk.env["REFERRALS_SUPPRESSION_KEY"] = "canary of sixteen characters"
    site.configure(per_second=PER_SECOND, burst=1)
    site.upstream.plan = always(slow(0.02))
    site.start(WORKERS)
    jobs = site.jobs(JOBS)
    publish(site, jobs)
    return jobs


def publish(site: Site, jobs: list[FaultJob]) -> None:
    """Publish them, and wait for some calls: on a busy machine most may be over by the time that all are published."""
    before = len(site.upstream.calls())
    site.publish(jobs)
    wait_until(lambda: len(site.upstream.calls()) > before + PER_SECOND, PATIENCE, "calls")


def written(site: Site, jobs: list[FaultJob], *, others: int = 0, name: str = "opted-out.txt") -> str:
    """The name of a file with the addresses of their customers, and of so many others."""
    addresses = [job.email.upper() for job in jobs] + [f"{name}{number}@else.example" for number in range(others)]
    (site.desk.folder / name).write_text("".join(f"{address}\n" for address in addresses))
    return name


def assert_obeyed(site: Site, jobs: list[FaultJob], since: float, *, interrupted: bool = False) -> None:
    """None of these was called from then on, in seconds since the epoch, and all others were.

    ``interrupted``: a worker may have been killed amid a call to somebody who was suppressed a moment later.
    """
    ids = {job.job_id for job in jobs}
    late = [call for call in site.upstream.calls() if call.job_id in ids and call.at / 1_000_000 > since]
    assert not late, f"{len(late)} calls to suppressed addresses"
    unknown = {"unknown/interrupted"} if interrupted else set()
    assert site.ended.outcomes.keys() - unknown == {"sent", "cancelled/suppressed"}
    assert site.ended.jobs("cancelled/suppressed") <= ids


FULL_ONLY = pytest.mark.full_only
"""Rows that cost the short suite more than they add to the others."""


@pytest.mark.parametrize(
    "loss",
    [
        "lost",
        pytest.param("flushed", marks=FULL_ONLY),
        pytest.param("empty_replica", marks=FULL_ONLY),
        "lost_with_all_workers",
    ],
)
def test_lost(site: Site, loss: str) -> None:
    """Every worker that meets the empty store stands still until the lists are back, one that has just started too, and
    one that has not heard of them: the store is lost as the first command that changes a list ends.
    """
    with ExitStack() as stack:
        fault: Callable[[Site], Heal] = store_faults.flushed if loss == "flushed" else store_faults.lost
        if loss == "empty_replica":
            fault = stack.enter_context(store_faults.empty_stand_in(site))
        jobs = begin(site)
        later = site.jobs(JOBS, first=JOBS)
        site.forgetful = True
        suppressed = [*jobs, *later][::4]
        publish(site, later)
        site.command("suppress", "add", written(site, suppressed), "--all")
        obeyed_from = time.time() + OBEYED_SECONDS

        heal = fault(site)
        site.faults += 1
        if loss == "lost_with_all_workers":
            for worker in site.workers:
                worker.kill()
        heard = len(site.events("suppression_unusable"))
        heal()
        site.revive()
        wait_until(
            lambda: len(site.events("suppression_unusable")) >= heard + WORKERS, PATIENCE, "every worker to notice"
        )
        calls = len(site.upstream.calls())
        time.sleep(WATCHED_SECONDS)  # that nobody calls can only be watched
        assert len(site.upstream.calls()) == calls, "called beside a list that is not there"
        # One more address does not make the list whole: the command brings the others back first.
        site.command("suppress", "add", "somebody@else.example", "--all")
        site.settle()

        # A store that is lost with the workers knows no call that was under way as an address was suppressed.
        site.judge(repeats=site.faults * WORKERS * UNACKNOWLEDGED, interrupted=site.faults * WORKERS * THREADS)
        assert_obeyed(site, suppressed, obeyed_from)


def test_journal_lost(site: Site) -> None:
    """RabbitMQ has lost the journal: workers go on by the store's lists, those that start then too; `list` says so."""
    jobs = begin(site)
    later = site.jobs(JOBS, first=JOBS)
    suppressed = [*jobs, *later][::4]
    site.command("suppress", "add", written(site, suppressed), "--all")
    obeyed_from = time.time() + OBEYED_SECONDS
    publish(site, later)
    connection = pika.BlockingConnection(pika.URLParameters(site.vhost.url))
    connection.channel().queue_purge(SUPPRESSION)
    connection.close()
    site.faults += 1
    site.workers[0].kill()
    site.revive()
    listed = site.desk.run("suppress", "list")
    assert (listed.returncode, "RabbitMQ has lost" in listed.stderr) == (1, True), listed.stderr
    site.settle()

    site.judge(repeats=THREADS)
    assert_obeyed(site, suppressed, obeyed_from)


@FULL_ONLY
@pytest.mark.parametrize("who", ["worker", "store", "broker", "command"])
def test_killed_amid_a_change(site: Site, who: str) -> None:
    """Whoever is killed as addresses are added, once RabbitMQ has some, once the store has, or before, and in the last
    round as lost lists are brought back: given again, the command ends whole, and all is obeyed."""
    jobs = begin(site)
    queues = site.depths().keys() | {SUPPRESSION}
    wait_until(lambda: all(site.rabbitmq.registered(site.vhost, queue) for queue in queues), PATIENCE, "queues on disk")
    # Of the first jobs, and of those that are published as it goes on.
    suppressed = [*jobs, *site.jobs(LOADED, first=JOBS)][::4]
    rounds = site.times(20, once=2)
    with site.load(per_second=2 * PER_SECOND, first=JOBS):
        for number in range(rounds):
            name = written(site, suppressed, others=OTHERS, name=f"list-{number}.txt")
            moments = (journal_grows, list_changes, lists_are_held)
            moment = moments[number % len(moments)]
            if number == rounds - 1:
                store_faults.flushed(site)
                site.forgetful = True
                site.faults += 1
                wait_until(lambda: site.desk.run("suppress", "list").returncode == 1, PATIENCE, "the loss to be seen")
                moment = list_changes
            has_come = moment(site)
            command = site.desk.start("suppress", "add", name, "--all")
            wait_until(lambda: has_come() or not command.running(), PATIENCE, "the command's moment")  # noqa: B023
            kill(site, who, command)
            command.close()
            wait_until(lambda: added(site, name), PATIENCE, "the command to be taken")  # noqa: B023
            if not number:
                obeyed_from = time.time() + OBEYED_SECONDS
    listed = json.loads(site.desk.run("suppress", "list", "--json").stdout)
    assert (listed["problem"], listed["changes"]) == (None, listed["journal"])
    assert listed["lists"]["*"]["addresses"] == len({job.email for job in suppressed}) + OTHERS * rounds
    wait_until(lambda: all(worker.ready() for worker in site.workers), PATIENCE, "workers that call")
    site.settle()

    # A store that was emptied knows neither calls under way nor results whose messages are not acknowledged.
    site.judge(repeats=site.faults * GRANTS + WORKERS * UNACKNOWLEDGED, interrupted=site.faults * WORKERS * THREADS)
    assert_obeyed(site, suppressed, obeyed_from, interrupted=who == "worker")


def added(site: Site, name: str) -> bool:
    """Whether the command succeeds."""
    return site.desk.run("suppress", "add", name, "--all").returncode == 0


def kill(site: Site, who: str, command: Process) -> None:
    """SIGKILL, and a restart."""
    site.faults += 1
    if who == "worker":
        site.workers[0].kill()
        site.revive()
    elif who == "store":
        store_faults.killed(site)()
    elif who == "broker":
        site.rabbitmq.kill()
        site.rabbitmq.start()
    else:
        command.kill()


def lists_are_held(site: Site) -> Callable[[], bool]:
    """Whether a command keeps all others from changing the lists."""
    return lambda: "referrals.suppression.writer" in site.rabbitmq.depths(site.vhost)


def journal_grows(site: Site) -> Callable[[], bool]:
    """Whether RabbitMQ has more changes than it has now."""

    before = site.rabbitmq.ready(site.vhost, SUPPRESSION) or 0
    return lambda: (site.rabbitmq.ready(site.vhost, SUPPRESSION) or 0) > before


def list_changes(site: Site) -> Callable[[], bool]:
    """Whether the store has another list of all shops than it has now."""

    def found() -> object:
        with store_faults.client(site) as valkey:
            return valkey.get("rd:{*}:x")

    before = found()
    return lambda: found() != before
