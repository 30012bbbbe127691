"""A campaign is held in front of another one: how soon it stops, when it is out of the way, what the other one gets."""

import time
from dataclasses import dataclass

from scripts.programs.benchmarks.fleet import PROCESSES
from scripts.programs.benchmarks.inputs import customer, write_export, write_shops
from scripts.programs.benchmarks.report import Benchmark, Report, spread
from scripts.programs.benchmarks.site import THREADS, Site
from tests.services import wait_until
from worker.clock import SystemClock
from worker.instants import SECOND

SHOP = "shop-000"
HELD_QUEUE = f"referrals.held.{SHOP}"
BURST = 20

PAUSED_PER_SECOND = 200
OBEYED_SECONDS = 1.0
"""What the product promises, from the end of the command on."""

WATCHED_SECONDS = 2
"""Without a call, so that a late one is seen."""

ASIDE_PROCESSES = 2
PER_SECOND = 50
LONGEST_ASIDE_SECONDS = 60
LEAST_USED = 0.95
"""What the product promises of 100,000 held jobs."""


@dataclass(frozen=True)
class Aside:
    """``seconds`` from the end of the command until every job was out of the way, how many these were, the part of the
    shop's limit that the other campaign then ``used``, and by how many places ``displaced`` the held ones came back.
    """

    seconds: float
    jobs: int
    used: float
    displaced: int


def pauses(site: Site, rounds: int) -> list[float]:
    """Pause and resume a campaign that runs; how long after the end of the command its last call came (0: before)."""
    file, export = site.folder / "shops.toml", site.folder / "export.csv"
    write_export(export, rounds * 10 * PAUSED_PER_SECOND, [SHOP])
    late = []
    with site.vhost() as vhost, site.upstream() as api:
        write_shops(file, api.url, [SHOP], {"per_second": PAUSED_PER_SECOND, "burst": BURST})
        env = site.environment(vhost, file, REFERRALS_REDIS_URL=site.empty_store())
        site.publish(env, export, campaign="spring")
        with site.start("work", _work(site, PROCESSES), env):
            site.wait_for_consumers(vhost, PROCESSES)
            for _ in range(rounds):
                api.wait_for(api.count() + PAUSED_PER_SECOND, 60)
                site.order(env, "campaigns", "pause", "spring", "--reason", "bench")
                ended = SystemClock().now()
                time.sleep(OBEYED_SECONDS + WATCHED_SECONDS)  # the watch itself
                late.append(max(0.0, (api.calls()[-1]["arrived_at"] - ended) / SECOND))
                site.order(env, "campaigns", "resume", "spring")
    return late


def measure(site: Site, held: int, seconds: int) -> Aside:
    """Pause a campaign in front of another one that has work for ``seconds``, and let it go on afterwards."""
    file, first, second = site.folder / "shops.toml", site.folder / "spring.csv", site.folder / "summer.csv"
    write_export(first, held, [SHOP])
    write_export(second, PER_SECOND * (seconds + LONGEST_ASIDE_SECONDS), [SHOP], first=held)
    place = {customer(number): number for number in range(held)}
    with site.vhost() as vhost, site.upstream("--customers") as api:
        write_shops(file, api.url, [SHOP], {"per_second": PER_SECOND, "burst": BURST})
        env = site.environment(vhost, file, REFERRALS_REDIS_URL=site.empty_store())
        site.publish(env, first, campaign="spring")
        site.publish(env, second, campaign="summer")
        with site.start("work", _work(site, ASIDE_PROCESSES), env):
            site.wait_for_consumers(vhost, ASIDE_PROCESSES)
            api.wait_for(2 * BURST, 60)
            site.order(env, "campaigns", "pause", "spring", "--reason", "bench")
            ordered = SystemClock().now()
            wait_until(lambda: api.calls()[-1]["customer"] not in place, 300, "the campaign behind it")
            left = held - sum(call["customer"] in place for call in api.calls())
            wait_until(lambda: site.rabbitmq.depths(vhost).get(HELD_QUEUE, 0) >= left, 300, f"{left} jobs aside")
            began = SystemClock().now()
            time.sleep(seconds + 1)  # the window itself
            used = sum(began <= call["arrived_at"] < began + seconds * SECOND for call in api.calls())
            site.order(env, "campaigns", "resume", "spring")
            resumed = SystemClock().now()
            time.sleep(seconds // 2)  # half of the window, as it is watched
            calls = api.calls()
    back = [place[call["customer"]] for call in calls if call["arrived_at"] > resumed and call["customer"] in place]
    # Each job's place among those that came back, compared with its place in the export.
    ranks = {number: rank for rank, number in enumerate(sorted(back))}
    displaced = max((abs(ranks[number] - at) for at, number in enumerate(back)), default=0)
    return Aside((began - ordered) / SECOND, left, used / (PER_SECOND * seconds), displaced)


def run(site: Site) -> Report:
    """The pauses, then the campaign in front of another."""
    late = pauses(site, site.of(10, 2))
    aside = measure(site, site.of(100_000, 5_000), site.of(60, 10))
    return Report(
        ("", "measured", "bound"),
        [
            ("last call after the end of the command, s", f"{max(late):.2f}", f"≤ {OBEYED_SECONDS:g}"),
            (f"{aside.jobs:,} jobs out of the way after, s", f"{aside.seconds:.1f}", f"≤ {LONGEST_ASIDE_SECONDS}"),
            ("part of the shop's limit that the other campaign used", f"{aside.used:.2%}", f"≥ {LEAST_USED:.0%}"),
            ("places by which a job came back too early or too late, at most", str(aside.displaced), ""),
        ],
        [
            f"Pauses: {PROCESSES} processes of {THREADS} threads at {PAUSED_PER_SECOND}/s; {spread(late, 2)} s.",
            f"In front of another: {ASIDE_PROCESSES} processes, one shop at {PER_SECOND}/s with burst {BURST}.",
        ],
    )


def _work(site: Site, processes: int) -> list[str]:
    return site.referrals("work", "--processes", str(processes), "--threads", str(THREADS))


BENCHMARK = Benchmark(
    name="held",
    title="A held campaign in front of another",
    reading="""\
`referrals campaigns pause` while the campaign runs. The time to its last call begins when the command has ended, and
calls are stamped by the stand-in for Refer2. In the second part the campaign has jobs in front of another one's in the
same shop's queue. They are out of the way once RabbitMQ counts every job that wasn't called in the held lane's queue.
The other campaign's part of the limit is that of a minute from then on. After `resume`, each job's place in the order
of the calls is compared with its place in the export: two processes take jobs by turns, so the order is that of the
export but for what both have in hand.""",
    run=run,
)
