"""The wall clock of a worker jumps: neither limits nor leases change, which the store's and a steady clock count."""

import json
import shutil
import struct
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.faults.site import PATIENCE, SHOPS, Site
from tests.faults.upstream import always, slow
from tests.faults.worker import Worker
from tests.services import wait_until

PER_SECOND = 10
BURST = 10
BACKLOG = len(SHOPS) * (BURST + PER_SECOND * 10)
JUMP = 600

SOURCE = Path(__file__).with_name("shifted.c")


@pytest.fixture
def shifted_clock(tmp_path: Path) -> Path:
    """The library that shifts a process's wall clock, built here."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "a C compiler is missing: apt install gcc libc6-dev"
    library = tmp_path / "shifted.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library


def shift(file: Path, seconds: int) -> None:
    """Let the clock of whoever has mapped the file jump."""
    with file.open("r+b" if file.exists() else "wb") as shared:
        shared.write(struct.pack("q", seconds))


@pytest.mark.parametrize("jump", [JUMP, -JUMP], ids=["forward", "back"])
def test_clock_jumps(site: Site, shifted_clock: Path, tmp_path: Path, jump: int) -> None:
    """One worker of two is ten minutes off from then on, and so is one that starts: no shop is called faster, no job
    twice."""
    site.configure(per_second=PER_SECOND, burst=BURST)
    site.upstream.plan = always(slow(0.02))
    file = tmp_path / "shift"
    shift(file, 0)
    preloaded = {"LD_PRELOAD": str(shifted_clock), "SHIFTED_CLOCK": str(file)}
    (jumping,) = site.start(1, env=preloaded)
    site.start(1)
    site.publish(site.jobs(BACKLOG))
    wait_until(lambda: len(site.upstream.calls()) > len(SHOPS) * (BURST + PER_SECOND), PATIENCE, "the first calls")
    with site.load(per_second=len(SHOPS) * PER_SECOND, first=BACKLOG):
        shift(file, jump)
        site.faults += 1
        (starting,) = site.start(1, env=preloaded)
        site.await_calls(len(SHOPS) * BURST)
        jumping.terminate()
    site.settle()

    verdict = site.judge()
    assert site.ended.outcomes == {"sent": len(verdict.attempted)}
    site.assert_paced(bursts=0)
    for worker in (jumping, starting):
        assert seconds_off(worker) * jump > 0, "its clock did not jump: this row shows nothing"


def seconds_off(worker: Worker) -> float:
    """By how much the time of its latest log line differs from that of its file; 0 where it is no more than delays."""
    line = json.loads(worker.process.stderr.splitlines()[-1])
    written = datetime.fromisoformat(line["timestamp"])
    off = (written - datetime.fromtimestamp(worker.process.log.stat().st_mtime, UTC)).total_seconds()
    return off if abs(off) > JUMP / 2 else 0.0
