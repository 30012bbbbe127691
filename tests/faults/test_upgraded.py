"""Workers of the release before and of this one side by side: a rolling update under load, and back."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.faults.site import PATIENCE, Site
from tests.faults.upstream import always, slow
from tests.services import wait_until

ROOT = Path(__file__).parents[2]

WORKERS = 3
ROUNDS = 5
PER_SECOND = 30

CALLS = "refer2_requests_in_flight"


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of an environment with the wheel that scripts/previous keeps, and nothing of this tree."""
    folder = tmp_path_factory.mktemp("previous")
    uv = str(Path(sys.executable).parent / "uv")
    (wheel,) = (Path(__file__).parent / "previous").glob("*.whl")
    locked = [uv, "export", "--frozen", "--quiet", "--no-dev", "--all-extras", "--no-emit-project", "--no-hashes"]
    constraints, python = folder / "constraints.txt", str(folder / "venv" / "bin" / "python")
    for command in (
        [*locked, "--output-file", str(constraints)],
        [uv, "venv", "--quiet", "--python", sys.executable, str(folder / "venv")],
        [uv, "pip", "install", "--quiet", "--python", python, "--constraints", str(constraints), str(wheel)],
    ):
        subprocess.run(command, cwd=ROOT, check=True)
    told = [python, "-c", "import worker; print(worker.__file__)"]
    there = subprocess.run(told, cwd=folder, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True)
    assert there.stdout.startswith(str(folder))
    return python


def test_upgraded_and_back(site: Site, previous: str) -> None:
    """Each worker is replaced by one of this release, then each by one of the release before; nothing is repeated."""
    site.configure(per_second=PER_SECOND / len(site.shops), burst=5)
    site.upstream.plan = always(slow(0.25))
    site.start(WORKERS, python=previous)
    left = []
    with site.load(per_second=PER_SECOND):
        for python in (None, previous) * site.times(ROUNDS):
            for _ in range(WORKERS):
                worker = site.workers[0]
                wait_until(worker.ready, PATIENCE, "the oldest worker to have become ready")
                wait_until(partial(worker.counted, CALLS), PATIENCE, "calls of it in flight")
                worker.terminate()
                site.faults += 1
                site.relieve(worker, python=python)
                left.append(worker)
    assert [worker.process.wait(PATIENCE) for worker in left] == [0] * len(left)
    site.settle()

    assert not site.events("job_taken_over"), "a worker that drained left a grant behind"
    verdict = site.judge()
    assert site.ended.outcomes == {"sent": len(verdict.attempted)}
