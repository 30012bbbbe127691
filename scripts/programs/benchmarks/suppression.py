"""What a list of suppressed addresses costs a worker, and how soon workers obey one that grows."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import redis

from scripts.programs.benchmarks.inputs import UNLIMITED, slugs, write_shops
from scripts.programs.benchmarks.process import BenchmarkError, Usage, fine_usage, run_to_end
from scripts.programs.benchmarks.report import Benchmark, Report, cell, spread
from scripts.programs.benchmarks.site import SHOPS, THREADS, Site
from scripts.programs.benchmarks.standin import stand_in
from tests.services import Vhost
from worker.clock import SystemClock
from worker.instants import SECOND
from worker.model.job import Customer, Job
from worker.model.suppression import AddressKey
from worker.rabbitmq.connection import parameters
from worker.rabbitmq.producer import Producer
from worker.store.redis.store import RedisStore

SECRET = "the key of the benchmark"
MOST_CPU = 1.03
"""What a job may cost beside a list of a million, by what it costs a worker that knows of none."""

OBEYED_SECONDS = 1.0
ADDED = 10_000
OPTED_OUT = "opted-out-"
"""How the addresses begin that are added."""

PROCESSES = 2
OBEYING_SHOPS = 10
_LONGEST_SECONDS = 900


@dataclass
class Side:
    """A worker that is measured by turns, with its virtual host and database; milliseconds of CPU a job, by turn."""

    vhost: Vhost
    url: str
    environment: dict[str, str]
    worker: psutil.Process | None = None
    sent: int = 0
    ours: list[float] = field(default_factory=list)
    stores: list[float] = field(default_factory=list)


def _jobs(first: int, count: int) -> Iterator[Job]:
    # Two addresses each, the most that is looked up.
    shops = slugs(SHOPS)
    for number in range(first, first + count):
        yield Job.create(
            shop=shops[number % SHOPS],
            campaign="bench",
            customer=Customer(email=f"customer-{number}@example.com"),
            channel="email",
            destination=f"friend-{number}@example.com",
        )


def _cost(site: Site) -> tuple[Side, Side]:
    """A worker without a key and a list, and one beside a list of a million, by turns in one run."""
    listed, turns, jobs = site.of(1_000_000, 10_000), site.of(20, 3), site.of(2_000, 500)
    base = site.empty_store().rpartition("/")[0]
    shops = site.folder / "shops.toml"
    key = AddressKey(SECRET.encode())
    with stand_in(site, tls=False) as api, site.vhost() as first, site.vhost() as second:
        write_shops(shops, api.url, slugs(SHOPS), UNLIMITED)
        without = Side(first, f"{base}/0", {})
        beside = Side(second, f"{base}/1", {"REFERRALS_SUPPRESSION_KEY": SECRET})
        store = RedisStore(beside.url, SystemClock(), address_key=key.fingerprint)
        store.suppress("*", [key.hashed(f"{number}@else.example") for number in range(listed)], 1)
        store.close()
        sides = (without, beside)
        for side in sides:
            side.environment |= {"REFERRALS_REDIS_URL": side.url}
            with Producer(parameters(side.vhost.url, name="bench")) as producer:
                producer.declare(slugs(SHOPS))
        # On one and the same core: a process keeps to one, and what the other services do on it makes its jobs dearer.
        core = str(min(os.sched_getaffinity(0)))
        command = ["taskset", "--cpu-list", core, *site.referrals("work", "--threads", str(THREADS))]
        with (
            site.start("without", command, site.environment(first, shops, **without.environment)) as one,
            site.start("beside", command, site.environment(second, shops, **beside.environment)) as other,
        ):
            for side, program in zip(sides, (one, other), strict=True):
                side.worker = program.worker()
                site.wait_for_consumers(side.vhost, SHOPS)
            for turn in range(-1, turns):
                for side in sides if turn % 2 else reversed(sides):
                    _turn(site, side, jobs, counts=turn >= 0)
    return sides


def _turn(site: Site, side: Side, jobs: int, *, counts: bool) -> None:
    with Producer(parameters(side.vhost.url, name="bench")) as producer:
        made = list(_jobs(side.sent, jobs))
        ours, store = _used(side)
        for job in made:
            producer.send(job)
        producer.flush()
    side.sent += jobs
    site.wait_for_results(side.vhost, side.sent, _LONGEST_SECONDS)
    if counts:
        after, store_after = _used(side)
        side.ours.append(after.since(ours).cpu * 1000 / jobs)
        side.stores.append((store_after - store) * 1000 / jobs)


def _used(side: Side) -> tuple[Usage, float]:
    assert side.worker is not None
    client: Any = redis.Redis.from_url(side.url)
    used = client.info("cpu")
    client.close()
    return fine_usage(side.worker), used["used_cpu_user"] + used["used_cpu_sys"]


@dataclass(frozen=True)
class Obeyed:
    """How a growing list was obeyed; ``latest`` is how long after the command's end a suppressed address was called."""

    waiting: int
    took: float
    before: int
    ended: int
    others: int
    latest: float


def _obeyed(site: Site) -> Obeyed:
    """Add addresses while workers call, and see what they still call."""
    waiting, added = site.of(1_000_000, 20_000), site.of(ADDED, 1_000)
    through = 10 * added
    export, shops, opted_out = (site.folder / name for name in ("waiting.csv", "shops.toml", "opted-out.txt"))
    names = slugs(OBEYING_SHOPS)
    _write(export, waiting, through, names)
    opted_out.write_text("".join(f"{OPTED_OUT}{number}@example.com\n" for number in range(added)))
    with site.vhost() as vhost, site.upstream("--customers") as api:
        write_shops(shops, api.url, names, UNLIMITED)
        env = site.environment(vhost, shops, REFERRALS_REDIS_URL=site.empty_store(), REFERRALS_SUPPRESSION_KEY=SECRET)
        site.publish(env, export)
        export.unlink()
        command = site.referrals("work", "--processes", str(PROCESSES), "--threads", str(THREADS))
        with site.start("work", command, env):
            api.wait_for(through // 100, _LONGEST_SECONDS)
            began = time.monotonic()
            arguments = ("suppress", "add", str(opted_out), "--all", "--json")
            printed, _ = run_to_end(site.referrals(*arguments), env)
            ended_at, took = time.time() * SECOND, time.monotonic() - began
            if json.loads(printed)["changed"] != added:
                raise BenchmarkError(f"not all of {added:,} addresses were added: {printed}")
            calls_then = api.count()
            # Until those whose jobs lie among the first are through.
            deadline = time.monotonic() + _LONGEST_SECONDS
            while site.rabbitmq.depths(vhost).get("referrals.results", 0) < through + through // 10:
                if time.monotonic() > deadline:
                    raise BenchmarkError(f"{through:,} jobs were not through in {_LONGEST_SECONDS} s")
                time.sleep(1)  # between two looks
            marked = [call["arrived_at"] for call in api.calls() if OPTED_OUT in call["customer"]]
            others = api.count() - calls_then
    late = [at for at in marked if at > ended_at]
    latest = (max(late) - ended_at) / SECOND if late else 0.0
    return Obeyed(waiting, took, len(marked) - len(late), added - len(marked), others, latest)


def _write(export: Path, rows: int, through: int, shops: list[str]) -> None:
    # Every tenth of the first rows opts out; in each shop alike.
    with export.open("w") as file:
        file.write("shop,customer_email,channel\n")
        for number in range(rows):
            turn, of_turn = divmod(number, len(shops))
            out = number < through and turn % 10 == of_turn
            name = f"{OPTED_OUT}{turn}" if out else f"customer-{number}"
            file.write(f"{shops[of_turn]},{name}@example.com,whatsapp\n")


def run(site: Site) -> Report:
    """First the cost, then the obedience."""
    without, beside = _cost(site)
    obeyed = _obeyed(site)
    ratios = [some / none for none, some in zip(without.ours, beside.ours, strict=True)]
    together = [
        (a + b) / (c + d) for a, b, c, d in zip(beside.ours, beside.stores, without.ours, without.stores, strict=True)
    ]
    rows = [
        ("worker CPU a job, ms: no key, no list", cell(without.ours, 3), ""),
        ("worker CPU a job, ms: beside a list of a million", cell(beside.ours, 3), ""),
        ("ratio of the two", f"{median(beside.ours) / median(without.ours):.3f}", f"≤ {MOST_CPU}"),
        ("median of the turns' ratios", f"{median(ratios):.3f}", ""),
        ("the store's CPU a job, ms: no list", cell(without.stores, 3), ""),
        ("the store's CPU a job, ms: beside the list", cell(beside.stores, 3), ""),
        ("worker and store together, median of the turns' ratios", f"{median(together):.3f}", ""),
        (f"`suppress add` of the addresses to {obeyed.waiting:,} waiting jobs, s", f"{obeyed.took:.1f}", ""),
        ("jobs of theirs that were called before it ended", f"{obeyed.before:,}", ""),
        ("jobs of theirs that ended without a call", f"{obeyed.ended:,}", ""),
        ("calls of others meanwhile", f"{obeyed.others:,}", ""),
        ("latest call of theirs after it had ended, s", f"{obeyed.latest:.2f}", f"≤ {OBEYED_SECONDS:.0f}"),
    ]
    lines = [
        f"{len(ratios)} turns each; in brackets the least and the most. {SHOPS} shops, {THREADS} threads.",
        f"The turns' ratios: {spread(ratios, 3)}.",
        f"The second part: {PROCESSES} processes of {THREADS} threads, {OBEYING_SHOPS} shops.",
    ]
    return Report(("", "", "bound"), rows, lines)


BENCHMARK = Benchmark(
    name="suppression",
    title="Suppressed addresses: their cost, and how soon they count",
    reading="""\
Two workers with the shared store, one of them without a key and a list, the other beside a list of 1,000,000 addresses
of every shop, take jobs by turns: each turn is published, called at nginx and over before the next begins, so
that the machine's other load affects both alike. Each job has two addresses to look up, its customer's and a friend's,
and none is on the list: the most that a job that is called can cost. CPU of the worker is what the kernel counts for
its process in nanoseconds.

Then 10,000 addresses are added by one command while workers call a backlog in which every tenth of the first 100,000
jobs is one of theirs. "Latest" is how long after the command's end the receiving side saw a call of theirs.""",
    run=run,
)
