"""``scripts/counts``: compare what a job costs with the committed counts, or renew them."""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from scripts.programs.benchmarks.process import BenchmarkError
from scripts.programs.benchmarks.site import Site
from scripts.programs.counting.run import counts
from tests.services import ServiceError, Valkey, open_rabbitmq

BASELINE = Path(__file__).parent / "baseline.json"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

TOLERANCE = 0.1
SLACK = 0.5
"""Calls a job by which each may be above its baseline in any case: a tenth of a few is nothing."""

TRIES = 3
RENEWALS = 3


def main() -> int:
    """0, or 1 where something costs more than it did."""
    parser = argparse.ArgumentParser(prog="scripts/counts", description="Count what a job costs a worker.")
    parser.add_argument("--renew", action="store_true", help="write the counts of now, the median of some runs")
    renew = parser.parse_args().renew
    baselines = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    if not renew and VERSION not in baselines:
        print(f"scripts/counts: no baseline for Python {VERSION}, so nothing is compared; --renew makes one")
        return 0
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            Valkey(Path(folder) / "valkey") as valkey,
            open_rabbitmq(Path(folder) / "rabbitmq") as rabbitmq,
        ):
            site = Site(Path(folder), rabbitmq, valkey, quick=True)
            if renew:
                taken = [counts(site) for _ in range(RENEWALS)]
                counted = {name: median(one.get(name, 0) for one in taken) for name in sorted(set().union(*taken))}
                baselines[VERSION] = {name: count for name, count in counted.items() if count}
                BASELINE.write_text(json.dumps(baselines, indent=2, sort_keys=True) + "\n")
                return 0
            return _compare(site, baselines[VERSION])
    except (BenchmarkError, ServiceError, TimeoutError) as error:
        print(f"scripts/counts: {error}", file=sys.stderr)
        return 1


def _compare(site: Site, baseline: Mapping[str, float]) -> int:
    least: dict[str, float] = {}
    for _ in range(TRIES):
        # How much is done at one go differs from run to run, so that only what is more in each of them counts.
        now = counts(site)
        least = {name: min(now.get(name, 0), least.get(name, value)) for name, value in now.items()}
        if not (worse := excess(least, baseline)):
            print("scripts/counts: " + ", ".join(f"{name} {least[name]:g} ({baseline[name]:g})" for name in _WHOLE))
            if outdated := [name for name in _WHOLE if least[name] < baseline[name] * (1 - TOLERANCE)]:
                # Not a failure: how much is done at one go depends on the machine too.
                print(
                    f"scripts/counts: {' and '.join(outdated)} a job have become fewer: run scripts/counts --renew, or "
                    "as many may come back unnoticed"
                )
            return 0
    for name, value, before in worse:
        more = f"+{value / before - 1:.0%}" if before else "new"
        print(
            f"scripts/counts: {name} a job: {value:g}, baseline {before:g} ({more}): if this is meant, run "
            "scripts/counts --renew",
            file=sys.stderr,
        )
    return 1


_WHOLE = ("calls", "system calls", "context switches")


def excess(now: Mapping[str, float], baseline: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """What is too much: its name, its count, and the baseline's."""
    return [
        (name, value, before)
        for name, value in sorted(now.items())
        if value > max((before := baseline.get(name, 0)) * (1 + TOLERANCE), before + SLACK)
    ]


if __name__ == "__main__":
    sys.exit(main())
