"""Samples mutants, has their tests run two at a time, and prints those that nobody noticed."""

import argparse
import random
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.programs.mutation import lua, python
from scripts.programs.mutation.lane import Lane, Verdict
from scripts.programs.mutation.mutant import Mutant
from scripts.programs.mutation.sampling import Source, sample
from tests.services import attach

ROOT = Path(__file__).parents[3]
LANES = 2

CORE = (
    *(
        "worker/scheduling/gate.py",
        "worker/scheduling/breaker.py",
        "worker/dispatch/dispatcher.py",
        "worker/dispatch/recorder.py",
        "worker/dispatch/verification.py",
        "worker/refer2/responses.py",
        "worker/limits/token_bucket.py",
    ),
    *("worker/limits/adaptive.py", "worker/model/job.py", "worker/store/memory"),
    *("worker/scheduling/admission.py", "worker/scheduling/outcomes.py", "worker/scheduling/loop.py"),
    *("worker/rabbitmq/port.py", "worker/rabbitmq/properties.py"),
    *("worker/rabbitmq/topology.py", "worker/rabbitmq/dead_letters.py", "worker/scheduling/breakers.py"),
    *("worker/campaigns/rows.py", "worker/campaigns/exports", "worker/campaigns/csv_escaping.py"),
    "worker/store/redis/lua",
)

_lane: Lane | None = None


def main() -> int:
    """0 where every mutant was noticed, 1 where some survived."""
    arguments = _arguments()
    sources = {path: _source(path) for path in files(arguments.modules or CORE)}
    mutants = sample(sources, arguments.count, random.Random(arguments.seed))
    print(f"seed {arguments.seed}: {len(mutants)} mutants", flush=True)
    verdicts: list[Verdict] = []
    with TemporaryDirectory() as held:
        lanes = [
            Lane(ROOT, Path(held, f"lane-{number}"), attach(arguments.services).rabbitmq.folder)
            for number in range(LANES)
        ]
        for verdict in judged(mutants, lanes):
            verdicts.append(verdict)
            _tell(len(verdicts), verdict)
    survivors = [verdict for verdict in verdicts if verdict.noticed_by is None]
    for kind in (".py", ".lua"):
        of_kind = [verdict for verdict in verdicts if verdict.mutant.path.endswith(kind)]
        if of_kind:
            noticed = sum(verdict.noticed_by is not None for verdict in of_kind)
            print(f"{kind}: {noticed} of {len(of_kind)} noticed, {100 * noticed / len(of_kind):.1f} %")
    return 1 if survivors else 0


def files(modules: list[str] | tuple[str, ...]) -> Iterator[str]:
    """The files that are named, and those of the folders."""
    for module in modules:
        path = ROOT / module
        if not path.exists():
            sys.exit(
                f"scripts/mutants: there is no {module}; name a file or a folder, such as worker/scheduling/gate.py"
            )
        found = sorted([*path.rglob("*.py"), *path.rglob("*.lua")]) if path.is_dir() else [path]
        yield from (str(each.relative_to(ROOT)) for each in found if each.name != "__init__.py")


def judged(mutants: list[Mutant], lanes: list[Lane]) -> Iterator[Verdict]:
    """Each mutant's verdict as it comes."""
    context = get_context("fork")
    free: SimpleQueue[int] = context.SimpleQueue()
    for number in range(len(lanes)):
        free.put(number)
    with ProcessPoolExecutor(len(lanes), context, _enter, (lanes, free)) as pool:
        try:
            for future in as_completed([pool.submit(_judge, mutant) for mutant in mutants]):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)
            for lane in lanes:
                lane.close()


def _enter(lanes: list[Lane], free: "SimpleQueue[int]") -> None:
    global _lane
    _lane = lanes[free.get()]
    _lane.open()


def _judge(mutant: Mutant) -> Verdict:
    assert _lane is not None
    return _lane.judge(mutant)


def _source(path: str) -> Source:
    kind = lua.Source if path.endswith(".lua") else python.Source
    return kind(path, (ROOT / path).read_text())


def _tell(number: int, verdict: Verdict) -> None:
    mutant = verdict.mutant
    place = f"{number:4} {mutant.path}:{mutant.line} ({verdict.seconds:.0f} s)"
    if verdict.noticed_by is not None:
        print(f"{place} noticed by {verdict.noticed_by}", flush=True)
        return
    print(f"{place} SURVIVED\n{mutant.diff()}", flush=True)
    for tests in verdict.tests:
        print(f"     not noticed by: {tests}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/mutants", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the same sample for the same tree (1)")
    parser.add_argument("--count", type=int, default=100, help="how many mutants (100)")
    parser.add_argument("--services", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="files or folders below worker/ (the core)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
