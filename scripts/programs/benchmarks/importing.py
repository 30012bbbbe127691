"""Reads an export to its end as a command would, and prints what that took: a program of its own for `memory`."""

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from worker.campaigns.containers.expand import expand
from worker.campaigns.dedup import JobIndex
from worker.campaigns.importer import Importer
from worker.campaigns.options import ImportOptions

MAPPING = {"customer_email": "Email", "customer_shopid": "Customer ID"}


def main(export: Path) -> None:
    """Print rows, seconds and the peak of resident memory in KiB, which the kernel counts from the program's start."""
    options = ImportOptions(shop="shop", campaign="bench", channel="whatsapp", mapping=MAPPING)
    began = time.monotonic()
    with JobIndex() as index:
        importer = Importer(
            expand([export], print), options, index=index, published_at=datetime.now(UTC), allowed_shops=None
        )
        jobs = sum(1 for _ in importer)
    seconds = time.monotonic() - began
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0])
    print(json.dumps({"rows": importer.rows, "jobs": jobs, "seconds": seconds, "peak_kib": peak}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
