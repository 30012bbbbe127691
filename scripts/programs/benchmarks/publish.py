"""How fast a campaign gets from its export onto RabbitMQ."""

import time
from statistics import median

from scripts.programs.benchmarks.contenders import Ours
from scripts.programs.benchmarks.inputs import UNLIMITED, slugs, write_export, write_shops
from scripts.programs.benchmarks.report import Benchmark, Report, spread
from scripts.programs.benchmarks.site import SHOPS, Site
from tests.services import Vhost
from worker import Customer, Job, publish
from worker.rabbitmq.kept_publishers import kept_publishers


def run(site: Site) -> Report:
    """``referrals publish`` on an export over all shops, and on one of a single row for what starting costs."""
    rows, rounds = site.of(100_000, 5_000), site.of(3, 1)
    export, single, shops = (site.folder / name for name in ("export.csv", "single.csv", "shops.toml"))
    write_export(export, rows, slugs(SHOPS))
    write_export(single, 1, slugs(SHOPS))
    write_shops(shops, "http://127.0.0.1:1", slugs(SHOPS), UNLIMITED)
    paces, cpus, starts, calls = [], [], [], []
    for _ in range(rounds):
        with site.vhost() as vhost:
            Ours().declare(vhost)
            env = site.environment(vhost, shops)
            _, start = site.publish(env, single)
            summary, cpu = site.publish(env, export)
            paces.append(rows / summary["seconds"])
            cpus.append((cpu - start) / rows * 1e6)
            starts.append(start)
            calls += [_call(vhost, number) for number in range(site.of(300, 50))][1:]
            # Before its virtual host is deleted, which it would log.
            kept_publishers().close()
    return Report(
        ("", "Referral Dispatch"),
        [
            ("rows a second, from the CSV to confirmed", f"{median(paces):,.0f}"),
            ("CPU per row, µs, without start-up", f"{median(cpus):,.0f}"),
            ("CPU of starting, s", f"{median(starts):.2f}"),
            ("one job by `worker.publish`, ms, p50", f"{median(calls) * 1e3:.1f}"),
        ],
        [
            f"{rounds} rounds of {rows:,} rows over {SHOPS} shops; medians.",
            f"rows a second, by round: {spread(paces, 0)}",
            f"CPU per row, µs, by round: {spread(cpus, 0)}",
            "`worker.publish` of one job, as a web application calls it; all calls but the first, which connects.",
        ],
    )


def _call(vhost: Vhost, number: int) -> float:
    """The seconds until a job is confirmed."""
    customer = Customer(shopid=str(number))
    job = Job.create(shop=slugs(SHOPS)[0], campaign="one by one", customer=customer, channel="whatsapp")
    began = time.perf_counter()
    publish(job, amqp_url=vhost.url)
    return time.perf_counter() - began


BENCHMARK = Benchmark(
    name="publish",
    title="Publishing an export",
    reading="""\
`referrals publish` reads a CSV, validates each row, works out its job id, finds duplicates, spreads customers over the
window, and publishes persistent and mandatory messages to quorum queues; the clock runs from the first row read to the
last confirm. CPU is that of the command; RabbitMQ's own is not in it. Where CPU per row times rows a second comes near
one second, one core is the limit; where it stays well below, RabbitMQ's disk or the other processes are.""",
    run=run,
)
