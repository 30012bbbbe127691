"""Results made up, as a worker publishes them, and a program that takes the time of finding some in PostgreSQL.

``python -m scripts.programs.benchmarks.results NUMBER``: finds customers among the results of as many.
"""

import hashlib
import json
import os
import random
import sys
import time

from worker.results.postgres.location import Location
from worker.results.postgres.source import TableSource
from worker.results.wanted import Wanted

KEY = "acme.sent.ok.share"

_LOOKS = 200

_WANTED = ("ann{}@example.com", "c{}", "order {}", "https://example.com/r/{}")


def result(number: int) -> bytes:
    """The result of customer ``number``, as long as a usual one: about 1 KB."""
    email, shopid, channel = f"ann{number}@example.com", f"c{number}", "whatsapp"
    identity = ["acme", "spring", 0, None, shopid, email, channel, None]
    link = f"https://example.com/r/{number}"
    made = {
        "schema": 1,
        "job_id": hashlib.sha256(json.dumps(identity, separators=(",", ":")).encode()).hexdigest()[:32],
        "campaign": "spring",
        "shop": "acme",
        "run": 0,
        "line": number + 2,
        "reference": f"order {number}",
        "customer": {"bhid": None, "shopid": shopid, "email": email},
        "channel": channel,
        "destination": None,
        "sender": None,
        "outcome": "sent",
        "code": None,
        "status": 200,
        "message": "The referral was created.",
        "referral": {
            "id": f"{number:032x}",
            "link": link,
            "status": "created",
            "reward": {"type": "points", "value": 500},
        },
        "share_action": {"type": "share", "url": f"https://wa.me/?text={link}", "text": "A present for you. " * 10},
        "attempts": 1,
        "published_at": "2026-11-02T03:04:05.123456Z",
        "called_at": "2026-11-02T03:04:06.123456Z",
        "finished_at": "2026-11-02T03:04:06.323456Z",
        "latency_seconds": 0.2,
    }
    return json.dumps(made, separators=(",", ":")).encode()


def main() -> None:
    """Print milliseconds: the median and the longest of looking for customers by each of four keys."""
    count = int(sys.argv[1])
    source = TableSource(Location(os.environ["REFERRALS_POSTGRES_URL"], "REFERRALS_POSTGRES_URL", ()))
    chance = random.Random(7)
    taken = []
    for look in range(_LOOKS):
        wanted = Wanted.parse(_WANTED[look % len(_WANTED)].format(chance.randrange(count)))
        began = time.perf_counter()
        found = list(source.find(wanted))
        taken.append((time.perf_counter() - began) * 1000)
        assert len(found) == 1, wanted
    source.close()
    print(json.dumps({"median": sorted(taken)[len(taken) // 2], "longest": max(taken)}))


if __name__ == "__main__":
    main()
