"""What it costs to collect results, into a file and into PostgreSQL, and to find one among many."""

import json
import sys
import time
from pathlib import Path

import pika

from scripts.programs.benchmarks.process import BenchmarkError, run_watched
from scripts.programs.benchmarks.report import Benchmark, Report
from scripts.programs.benchmarks.results import KEY, result
from scripts.programs.benchmarks.site import Site
from tests.services import PostgreSQL, Vhost

_AT_ONCE = 2_000


def run(site: Site) -> Report:
    """The same results by each way; then single customers are looked for in the database."""
    count = site.of(1_000_000, 10_000)
    with PostgreSQL(site.folder / "postgresql") as database:
        url = database.add_database()
        ways = {
            "--out": (["--out", str(site.folder / "results.csv")], {}),
            "--postgres": ([], {"REFERRALS_POSTGRES_URL": url}),
        }
        figures = {name: _collect(site, count, *way) for name, way in ways.items()}
        size = int(database.sql("SELECT pg_total_relation_size('referrals.results')", url))
        env = site.environment() | {"REFERRALS_POSTGRES_URL": url}
        command = [sys.executable, "-m", "scripts.programs.benchmarks.results", str(count)]
        found = json.loads(run_watched(command, env)[0])
        cold = _find(site, env, count)
    return Report(
        ("", *figures, "bound"),
        [
            ("results a second", *(f"{count / seconds:,.0f}" for seconds, _ in figures.values()), ""),
            ("peak resident memory, MiB", *(f"{peak:.0f}" for _, peak in figures.values()), ""),
            ("size, MB", f"{Path(site.folder / 'results.csv').stat().st_size / 1e6:,.0f}", f"{size / 1e6:,.0f}", ""),
            ("finding a customer, median ms", "", f"{found['median']:.1f}", "< 100"),
            ("finding a customer, longest ms of 200", "", f"{found['longest']:.1f}", "< 100"),
        ],
        [
            f"{count:,} results of 1 KB wait in RabbitMQ, and one collector takes them; its start counts too.",
            f"The command `find` as a whole, with its start: {cold:.2f} s.",
        ],
    )


def _collect(site: Site, count: int, options: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Seconds and peak memory of one collector that takes so many results."""
    with site.vhost() as vhost:
        own = site.environment(vhost) | env
        run_watched(site.referrals("collect", *options, "--until-idle", "0.1"), own)
        _publish(vhost, count)
        told, seconds, peak = run_watched(site.referrals("collect", *options, "--until-idle", "1", "--json"), own)
    if json.loads(told)["outcomes"] != {"sent": count}:
        raise BenchmarkError(f"of {count} results were collected: {told}")
    # It has waited a second for more.
    return seconds - 1, peak


def _publish(vhost: Vhost, count: int) -> None:
    with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
        channel = connection.channel()
        channel.tx_select()
        for number in range(count):
            channel.basic_publish("referrals.results", KEY, result(number), pika.BasicProperties(delivery_mode=2))
            if number % _AT_ONCE == 0:
                channel.tx_commit()
        channel.tx_commit()


def _find(site: Site, env: dict[str, str], count: int) -> float:
    began = time.perf_counter()
    run_watched(site.referrals("find", f"c{count // 2}"), env)
    return time.perf_counter() - began


BENCHMARK = Benchmark(
    name="collect",
    title="Results into a file and into PostgreSQL, and found there",
    reading="""\
One collector at a time, with RabbitMQ and PostgreSQL on the same machine. `--out` syncs the file once a batch of up to
1,000 results, `--postgres` commits it, with `fsync` on.""",
    run=run,
)
