"""What a job costs the store: memory once it is finished, the server's time, ours.

    .venv/bin/python -m tests.integration.store.bench [URL]

Fills one shop with 300,000 finished jobs, on a Valkey of its own or on the server of the URL, whose database it
empties. Takes two minutes. The figures of docs/store.md are made with it.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from tests.integration.store.test_keys import hashed
from tests.integration.store.worlds import submitted
from tests.services import Valkey
from tests.unit.making import LEASE, make_limits
from worker.clock import SystemClock
from worker.limits.token_bucket import Rate
from worker.store.protocol import AdmitRequest, Grant, Reply
from worker.store.redis.store import RedisStore

SIZES = (100, 1_000, 10_000, 100_000, 300_000)
RESULT = '{"outcome":"sent","referral":"' + 600 * "x" + '"}'
ASKED_AT_ONCE = 10
THREADS = 12


def main(url: str | None) -> None:
    """Print a line for each size."""
    with tempfile.TemporaryDirectory() as folder, server(url, Path(folder)) as used:
        client: Any = redis.Redis.from_url(used)
        client.flushdb()
        store = RedisStore(used, SystemClock())
        print("jobs, bytes each, sets, server us, of it in scripts us, client us (each a finished job)")
        done = 0
        for size in SIZES:
            before = usage(client)
            fill(store, range(done, size))
            spent = [(now - then) * 1e6 / (size - done) for now, then in zip(usage(client), before, strict=True)]
            keys = client.keys("rd:{bench}:[dn]*")
            held = sum(client.memory_usage(key, samples=0) for key in keys)
            print(f"{size:,}, {held / size:.1f}, {len(keys) - 1}, " + ", ".join(f"{each:.0f}" for each in spent))
            done = size
        store.close()


@contextmanager
def server(url: str | None, folder: Path) -> Iterator[str]:
    """The server to measure."""
    if url is not None:
        yield url
        return
    with Valkey(folder / "valkey") as valkey:
        yield valkey.url


def usage(client: Any) -> tuple[float, float, float]:
    """Seconds so far: of the server's core, of it in scripts, of ours."""
    cpu, commands = client.info("cpu"), client.info("commandstats")
    scripts = commands.get("cmdstat_evalsha", {"usec": 0})["usec"] / 1e6
    return cpu["used_cpu_user"] + cpu["used_cpu_sys"], scripts, time.process_time()


def fill(store: RedisStore, numbers: range) -> None:
    """Take jobs through to their end as worker threads do."""
    limits = make_limits(shop=Rate(1, 10**6), customer=Rate(1, 10**6), per_day=10**9)

    def finish(request: AdmitRequest, reply: Reply) -> None:
        assert isinstance(reply, Grant)
        assert store.answer(request, reply.epoch, RESULT)
        store.settle(request, reply.epoch, "sent")

    with ThreadPoolExecutor(THREADS) as threads:
        for first in range(numbers.start, numbers.stop, ASKED_AT_ONCE):
            some = range(first, min(first + ASKED_AT_ONCE, numbers.stop))
            requests = [AdmitRequest("bench", f"e:{number % 5000}", hashed(number), limits, LEASE) for number in some]
            list(threads.map(finish, requests, submitted(store, requests)))
    store.block("another", None, 0)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
