"""A shops file that promises more than the provider allows."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

from scripts.programs.benchmarks.fleet import PROCESSES
from scripts.programs.benchmarks.inputs import write_export, write_shops
from scripts.programs.benchmarks.report import Benchmark, Report
from scripts.programs.benchmarks.site import Api, Site
from worker.instants import SECOND

SHOP = "acme"
CONFIGURED = 100
ALLOWED = 40
SETTLED_AFTER = 60
"""Seconds from the first call on, after which the pace should have found the provider's limit."""

LEAST_SHARE = 0.95
"""What the product promises."""


@dataclass(frozen=True)
class Verdict:
    """Calls a second that were carried out once settled, over how many seconds; answers 429: of all calls, and once
    settled.
    """

    pace: float
    seconds: float
    refused: int
    refused_settled: int
    carried_out: int


def measure(site: Site, api_of: AbstractContextManager[Api], jobs: int, *, threads: int, max_in_flight: int) -> Verdict:
    """Send all jobs, wait until each has its result, and see at which pace they were carried out."""
    file, export = site.folder / "shops.toml", site.folder / "export.csv"
    write_export(export, jobs, [SHOP])
    with site.vhost() as vhost, api_of as api:
        write_shops(file, api.url, [SHOP], {"per_second": CONFIGURED, "max_in_flight": max_in_flight})
        in_flight = {"REFERRALS_PREFETCH": str(max(16, max_in_flight))}
        env = site.environment(vhost, file, REFERRALS_REDIS_URL=site.empty_store(), **in_flight)
        site.publish(env, export)
        command = site.referrals("work", "--processes", str(PROCESSES), "--threads", str(threads))
        with site.start("work", command, env):
            site.wait_for_results(vhost, jobs, seconds=10 * jobs / ALLOWED)
        calls = api.calls()
    carried_out = sorted(
        call["arrived_at"] + round(call.get("delayed_seconds", 0) * SECOND) for call in calls if call["status"] == 200
    )
    refused = [call["arrived_at"] for call in calls if call["status"] == 429]
    settled = calls[0]["arrived_at"] + SETTLED_AFTER * SECOND
    refused_settled = [at for at in refused if at >= settled]
    begin, end = _window(refused_settled, settled, carried_out[-1])
    return Verdict(
        pace=sum(begin < at <= end for at in carried_out) / (end - begin) * SECOND,
        seconds=(end - begin) / SECOND,
        refused=len(refused),
        refused_settled=len(refused_settled),
        carried_out=len(carried_out),
    )


def _window(refused: list[int], settled: int, last: int) -> tuple[int, int]:
    # At a refusal the provider's bucket is empty, or its queue of delayed calls is full. Between two of them its own
    # burst is in neither end, which otherwise adds up to a second's worth of calls.
    return (refused[0], refused[-1]) if len(refused) > 1 else (settled, last)


def run(site: Site) -> Report:
    """Once against the sandbox, which delays calls before it refuses them, once against one that refuses at once."""
    jobs = ALLOWED * site.of(360, 90)
    # Five seconds of delay at this pace are 200 calls in flight: with fewer the provider never has to refuse.
    delaying = measure(
        site,
        site.api("--per-second", str(ALLOWED)),
        jobs,
        threads=72,
        max_in_flight=64,
    )
    refusing = measure(site, site.upstream("--per-second", str(ALLOWED)), jobs, threads=16, max_in_flight=12)
    both = (delaying, refusing)
    return Report(
        ("the provider", "delays up to 5 s first", "refuses at once", "bound"),
        [
            (
                f"pace once settled, of {ALLOWED}/s",
                *(f"{one.pace / ALLOWED:.1%}" for one in both),
                f"{LEAST_SHARE:.0%} to 100%",
            ),
            ("measured over, s", *(f"{one.seconds:.0f}" for one in both), ""),
            ("answers 429", *(str(one.refused) for one in both), ""),
            (f"answers 429 after {SETTLED_AFTER} s", *(str(one.refused_settled) for one in both), ""),
            ("jobs without a result", *(str(jobs - one.carried_out) for one in both), "0"),
        ],
        [
            f"{jobs:,} jobs of one shop at {CONFIGURED}/s by the file; {PROCESSES} processes.",
            "Against the delaying provider 72 threads and 64 calls in flight per process, else 16 and 12.",
        ],
    )


BENCHMARK = Benchmark(
    name="judge",
    title="A provider that allows less than the file says",
    reading="""\
The provider's limit applies, not ours: the sandbox as the vendor does it (it holds a call back for up to 5 s and
answers 429 only beyond that), and the sandbox's throttle without delays. The pace is that of the calls that were
carried out. The first minute, in which the pace falls from the file's, is left out. From then on it is measured from
the first refusal to the last, when the provider's bucket is as empty at the end as at the beginning, so that its burst
adds nothing. The pace climbs until the provider refuses again: between two refusals it is first below the limit and
later above it, from what the bucket has saved. At the end every job must have its result in RabbitMQ, and no message
may be left anywhere else.""",
    run=run,
)
