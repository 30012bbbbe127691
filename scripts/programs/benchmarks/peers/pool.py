"""No queue at all: ``python -m scripts.programs.benchmarks.peers.pool JOBS RESULTS`` calls from a pool of threads.

Nothing of it survives its end but the results that are written: what a script for one evening would do.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from urllib3.util import Retry

from scripts.programs.benchmarks.peers import refer2
from scripts.programs.benchmarks.peers.threaded import call

_REFUSED = Retry(1000, connect=0, read=0, status_forcelist=[429], allowed_methods=["POST"])
"""A refused call is repeated as Refer2 says, while its thread waits."""


def refer(line: str) -> bytes:
    """One call, one result."""
    job = json.loads(line)
    called_at = refer2.now()
    return refer2.result(job, call(job, _REFUSED), called_at)


def main(jobs: Path, results: Path) -> None:
    """A line of results for each line of jobs, in the same order."""
    with jobs.open() as lines, results.open("wb") as output, ThreadPoolExecutor(refer2.THREADS) as pool:
        for result in pool.map(refer, lines):
            output.write(result + b"\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
