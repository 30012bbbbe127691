"""What jobs under way, customers and the append-only file cost the store.

    .venv/bin/python -m tests.integration.store.bench_open

On a Valkey of its own, one or two minutes. The figures of docs/store.md are made with it.
"""

import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import redis

from tests.integration.store.bench import ASKED_AT_ONCE, RESULT, fill
from tests.integration.store.test_keys import hashed
from tests.integration.store.worlds import submitted
from tests.services import Valkey, wait_until
from tests.unit.making import LEASE, make_limits
from worker.clock import SystemClock
from worker.instants import DAY
from worker.limits.token_bucket import Rate
from worker.store.protocol import AdmitRequest, Grant
from worker.store.redis.store import RedisStore

SIZE = 5_000
LIMITS = make_limits(shop=Rate(1, 10**6), customer=Rate(1, 10**6), per_day=10**9)
FINISHED = 5_000


def main() -> None:
    """Print a line for each thing that is kept, and what the append-only file takes."""
    with tempfile.TemporaryDirectory() as folder, Valkey(Path(folder) / "valkey") as valkey:
        client: Any = redis.Redis.from_url(valkey.url)
        store = RedisStore(valkey.url, SystemClock())
        print(f"kept, MEMORY USAGE of each of {SIZE:,} in bytes")
        for name, keep in _KEPT.items():
            client.flushdb()
            keep(store, range(SIZE))
            print(f"{name}, {_mean(client, client.keys('rd:{bench}:[jcr]*')):.0f}")
        client.flushdb()
        _append_only(client, store)
        store.close()


def _requests(numbers: range, *, customers: bool) -> Iterable[list[AdmitRequest]]:
    for first in range(numbers.start, numbers.stop, ASKED_AT_ONCE):
        some = range(first, min(first + ASKED_AT_ONCE, numbers.stop))
        yield [
            AdmitRequest("bench", f"e:{number}" if customers else "", hashed(number), LIMITS, LEASE) for number in some
        ]


def _start(
    store: RedisStore,
    numbers: range,
    then: Callable[[AdmitRequest, Grant], object] = lambda *_: None,
    *,
    customers: bool = False,
) -> None:
    for requests in _requests(numbers, customers=customers):
        for request, reply in zip(requests, submitted(store, requests), strict=True):
            assert isinstance(reply, Grant)
            then(request, reply)


def _waiting(store: RedisStore, numbers: range) -> None:
    until = SystemClock().now() + DAY
    _start(store, numbers, lambda request, go: store.retry(request, go.epoch, until))


def _answered(store: RedisStore, numbers: range) -> None:
    _start(store, numbers, lambda request, go: store.answer(request, go.epoch, RESULT))


def _read(store: RedisStore, numbers: range) -> None:
    for requests in _requests(numbers, customers=True):
        for request in requests:
            store.take_read(request)


def _called(store: RedisStore, numbers: range) -> None:
    # What is left of a released job is its customer's bucket and day.
    _start(store, numbers, lambda request, go: store.release(request, go.epoch, called=True), customers=True)


_KEPT: dict[str, Callable[[RedisStore, range], None]] = {
    "started": _start,
    "waiting": _waiting,
    f"answered with {len(RESULT)} bytes": _answered,
    "customer called today": _called,
    "customer read today": _read,
}


def _mean(client: Any, keys: list[bytes]) -> float:
    usages: list[int] = [client.memory_usage(key, samples=0) for key in keys]
    return sum(usages) / len(usages)


def _append_only(client: Any, store: RedisStore) -> None:
    client.config_set("appendonly", "yes")
    client.config_set("auto-aof-rewrite-percentage", "0")
    wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], 60, "the first rewrite")
    before = client.info("persistence")["aof_current_size"]
    began = time.monotonic()
    fill(store, range(FINISHED))
    seconds = time.monotonic() - began
    grown = client.info("persistence")["aof_current_size"] - before
    done = client.info("persistence")["aof_rewrites"]
    client.bgrewriteaof()
    wait_until(lambda: client.info("persistence")["aof_rewrites"] > done, 60, "a rewrite to begin")
    wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], 60, "the rewrite")
    rewritten = client.info("persistence")["aof_current_size"]
    print(f"append-only file: {grown / FINISHED:.0f} bytes a finished job of {len(RESULT)} bytes result", end="")
    print(f" ({FINISHED:,} in {seconds:.0f} s); rewritten: {rewritten / FINISHED:.0f} bytes a job")


if __name__ == "__main__":
    main()
