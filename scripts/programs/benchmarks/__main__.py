"""``scripts/bench``: run benchmarks, print their sections, put them into docs/benchmarks.md."""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from scripts.programs.benchmarks import (
    backlog,
    collecting,
    containers,
    dispatch,
    document,
    finding,
    fleet,
    held,
    hundred,
    idle,
    judge,
    latency,
    limits,
    machine,
    matching,
    memory,
    merging,
    million,
    paced,
    pair,
    publish,
    quiet,
    race,
    reporting,
    shops,
    stampede,
    starting,
    suppression,
    traces,
    urgent,
    wall,
)
from scripts.programs.benchmarks.process import BenchmarkError
from scripts.programs.benchmarks.report import Benchmark
from scripts.programs.benchmarks.site import ROOT, Site
from tests.services import ServiceError, Valkey, open_rabbitmq

BENCHMARKS: tuple[Benchmark, ...] = (
    *race.BENCHMARKS,
    pair.BENCHMARK,
    *limits.BENCHMARKS,
    *(
        module.BENCHMARK
        for module in (
            dispatch,
            publish,
            million,
            matching,
            containers,
            finding,
            collecting,
            merging,
            memory,
            reporting,
            starting,
            idle,
            traces,
            wall,
            latency,
            suppression,
            fleet,
        )
    ),
    *hundred.BENCHMARKS,
    *(module.BENCHMARK for module in (quiet, stampede, held, paced)),
    *urgent.BENCHMARKS,
    *(module.BENCHMARK for module in (judge, shops, backlog)),
)

DOCUMENT = ROOT / "docs" / "benchmarks.md"
PICTURES = ROOT / "docs" / "benchmarks"


def main() -> int:
    """0, or 1 with a line that says what can't be measured."""
    arguments = _parser().parse_args()
    # However it is stopped, it stops what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    chosen = [one for one in BENCHMARKS if not arguments.names or one.name in arguments.names]
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            Valkey(Path(folder) / "valkey") as valkey,
            open_rabbitmq(Path(folder) / "rabbitmq") as rabbitmq,
        ):
            site = Site(Path(folder), rabbitmq, valkey, arguments.quick)
            facts = machine.facts(rabbitmq.api("GET", "/api/overview")["rabbitmq_version"])
            for benchmark in chosen:
                _run(benchmark, site, facts)
    except (BenchmarkError, ServiceError, TimeoutError) as error:
        print(f"scripts/bench: {error}", file=sys.stderr)
        return 1
    return 0


def _run(benchmark: Benchmark, site: Site, facts: str) -> None:
    print(f"{benchmark.name} …", file=sys.stderr, flush=True)
    before = machine.load()
    report = benchmark.run(site)
    circumstances = (
        f"`scripts/bench {benchmark.name}`, {machine.today()}. {facts}. "
        f"Load average (1 and 5 minutes) {before} before, {machine.load()} after."
    )
    text = document.section(benchmark, report, circumstances)
    print(f"{text}\n", flush=True)
    if not site.quick:
        if report.picture is not None:
            PICTURES.mkdir(exist_ok=True)
            (PICTURES / f"{report.picture.name}.svg").write_text(report.picture.svg, encoding="utf-8")
        old = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else ""
        DOCUMENT.write_text(document.renewed(old, {benchmark.name: text}, BENCHMARKS), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    width = max(len(one.name) for one in BENCHMARKS) + 2
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure on a private RabbitMQ and Valkey and renew the sections of docs/benchmarks.md.",
        epilog="\n".join(f"  {one.name:{width}}{one.title}" for one in BENCHMARKS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", type=_known, help="benchmarks to run; all where none is named"
    )
    parser.add_argument("--quick", action="store_true", help="a fraction of the work; print only")
    return parser


def _known(name: str) -> str:
    # Not by `choices`: with those, Python 3.11 refuses to be given no name.
    if name not in (names := [one.name for one in BENCHMARKS]):
        raise argparse.ArgumentTypeError(f"there is no benchmark {name!r}, only {', '.join(names)}")
    return name


if __name__ == "__main__":
    sys.exit(main())
