"""What suppressed addresses cost the store: memory, and the CPU of an admission, of the server and ours.

    .venv/bin/python -m tests.integration.store.bench_suppression [URL]

On a Valkey of its own or on the server of the URL, whose database it empties. The figures of docs/store.md are made
with it. CPU is compared by turns: jobs of a shop without a list, and of one with a million addresses, 500 at a time.
"""

import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import redis

from tests.integration.store.bench import ASKED_AT_ONCE, server
from tests.integration.store.test_keys import hashed
from tests.integration.store.worlds import flush, submitted
from tests.unit.making import LEASE, make_limits
from worker.clock import SystemClock
from worker.limits.token_bucket import Rate
from worker.model.suppression import AddressKey
from worker.store.protocol import AdmitRequest, Grant
from worker.store.redis.store import RedisStore

SIZES = (1, 100, 1_000, 10_000, 100_000, 1_000_000)
TURNS = 100
JOBS = 500
KEY = AddressKey(b"a key of the bench")
NONE = "none"
"""A shop without a list, whose jobs come without addresses, as from a worker without a key."""


def main(url: str | None) -> None:
    """Print a line for each size, then what an admission costs."""
    with tempfile.TemporaryDirectory() as folder, server(url, Path(folder)) as used:
        client: Any = redis.Redis.from_url(used)
        client.flushdb()
        store = RedisStore(used, SystemClock(), address_key=KEY.fingerprint)
        print("addresses, bytes each where they came at once, bytes each where they came in tenths, seconds to add")
        for number, size in enumerate(SIZES):
            addresses = [KEY.hashed(f"{each}@example.com") for each in range(size)]
            began = time.process_time()
            store.suppress(f"once{size}", addresses, number + 1)
            spent = time.process_time() - began
            for part in range(0, size, max(1, size // 10)):
                store.suppress(f"tenths{size}", addresses[part : part + max(1, size // 10)], number + 1)
            print(f"{size:,}, {held(client, f'once{size}'):.1f}, {held(client, f'tenths{size}'):.1f}, {spent:.1f}")
        turns(store, client)
        store.close()


def held(client: Any, shop: str) -> float:
    """Bytes of the shop's list for each address, key names included."""
    keys = list(client.scan_iter(f"rd:{{{shop}}}:x*", count=10_000))
    addresses = sum(client.scard(key) for key in keys if not key.endswith(b":x"))
    return float(sum(client.memory_usage(key, samples=0) for key in keys) / addresses)


def turns(store: RedisStore, client: Any) -> None:
    """Admit and finish jobs of either shop by turns."""
    shops: dict[str, list[list[float]]] = {NONE: [], f"once{SIZES[-1]}": []}
    number = 0
    for _ in range(TURNS):
        for shop, spent in shops.items():
            before = usage(client)
            number = fill(store, shop, number)
            spent.append([(now - then) * 1e6 / JOBS for now, then in zip(usage(client), before, strict=True)])
    print("microseconds a job, of the server and ours, the median of turns; without a list, with one, and their ratio")
    none, some = ([median(turn[part] for turn in spent) for part in (0, 1)] for spent in shops.values())
    print(f"server {none[0]:.1f}, {some[0]:.1f}, {some[0] / none[0]:.3f}; ours {none[1]:.1f}, {some[1]:.1f}")
    print(f"together {sum(none):.1f}, {sum(some):.1f}, {sum(some) / sum(none):.3f}")


def usage(client: Any) -> tuple[float, float]:
    """Seconds so far of the server's core and of ours."""
    cpu = client.info("cpu")
    return cpu["used_cpu_user"] + cpu["used_cpu_sys"], time.process_time()


def fill(store: RedisStore, shop: str, first: int) -> int:
    """Take as many jobs as a turn has through to their end; each asks with its customer and a friend."""
    limits = make_limits(shop=Rate(1, 10**6), customer=Rate(1, 10**6), per_day=10**9)
    for start in range(first, first + JOBS, ASKED_AT_ONCE):
        requests = [
            AdmitRequest(
                shop,
                f"e:{number % 5000}",
                hashed(number),
                limits,
                LEASE,
                addresses=() if shop == NONE else KEY.of_job(f"c{number}@else.example", f"f{number}@else.example"),
            )
            for number in range(start, start + ASKED_AT_ONCE)
        ]
        for request, reply in zip(requests, submitted(store, requests), strict=True):
            assert isinstance(reply, Grant)
            assert not reply.suppressed
            store.answer(request, reply.epoch, "{}")
            store.settle(request, reply.epoch, "sent")
    flush(store)
    return first + JOBS


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
