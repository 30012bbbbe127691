"""The names under which the server keeps what it keeps: a format that workers of two versions share.

docs/store.md lists them. A shop's keys begin with its name in braces, so that a cluster keeps them together.
"""

import hashlib
from functools import lru_cache

from worker.model.names import campaign_key

PREFIX = "rd:"

CONTROLS_KEY = f"{PREFIX}controls".encode()

LOG_KEY = f"{PREFIX}log:{{{PREFIX}controls}}".encode()
"""Who ordered what. Its braces put it where the controls are."""

LISTS_KEY = f"{PREFIX}suppression:{{{PREFIX}controls}}".encode()
"""What is known of the lists of suppressed addresses."""

CAMPAIGN_ORDERS_KEY = f"{PREFIX}campaigns:{{{PREFIX}controls}}".encode()
"""Orders about campaigns."""

LANES_KEYS = [CONTROLS_KEY, f"{PREFIX}lanes:{{{PREFIX}controls}}".encode()]
"""The second one lists the lanes that shops have beside their own queues."""

CLOSED_WORKERS_KEY = f"{PREFIX}closed:{{{PREFIX}controls}}".encode()
"""Worker processes that call nobody."""

SINCE_KEY = f"{PREFIX}since:{{{PREFIX}controls}}".encode()
"""Since when the server has what it has: gone with the rest when its data are lost."""

WATCH_KEYS = [
    *LANES_KEYS,
    f"{PREFIX}none:{{{PREFIX}controls}}".encode(),
    LISTS_KEY,
    CAMPAIGN_ORDERS_KEY,
    SINCE_KEY,
]
"""The third one is never there, and is where the others are: see lua/watch.lua."""


@lru_cache(maxsize=16_384)  # asked seven times for each job
def prefix(shop: str) -> bytes:
    """What all keys of a shop begin with."""
    return f"{PREFIX}{{{shop}}}:".encode()


def shop_key(shop: str) -> bytes:
    """The shop's limits."""
    return prefix(shop) + b"s"


def closure_key(shop: str) -> bytes:
    """Why a worker has closed the shop."""
    return prefix(shop) + b"g"


def campaigns_key(shop: str) -> bytes:
    """The names of the shop's campaigns that have counters."""
    return prefix(shop) + b"k"


def list_key(shop: str) -> bytes:
    """The shop's list of suppressed addresses, ``*`` for that of all shops; its sets have longer names."""
    return prefix(shop) + b"x"


def pace_key(shop: str, campaign: str) -> bytes:
    """The limits of a campaign that has a pace of its own."""
    return prefix(shop) + b"p:" + campaign_key(campaign).encode()


def results_key(shop: str, campaign: str) -> bytes:
    """The last results of a campaign that has a brake."""
    return prefix(shop) + b"b:" + campaign_key(campaign).encode()


def record_key(shop: str, job_id: str) -> bytes:
    """A job under way. 96 bits: among 10^9 jobs of a shop two collide with a probability of 1 in 10^11."""
    # As text: the sets of finished jobs take their names from its digits (lua/finished.lua).
    return prefix(shop) + b"j:" + job_id[8:].encode()


def customer_key(shop: str, customer: str) -> bytes:
    """A customer's limits."""
    return prefix(shop) + b"c:" + _hashed(customer)


def reader_key(shop: str, customer: str) -> bytes:
    """The limits on reading a customer's referrals back."""
    return prefix(shop) + b"r:" + _hashed(customer)


def _hashed(customer: str) -> bytes:
    # No address may be read in a key, and one may be long.
    return hashlib.blake2b(customer.encode(), digest_size=12).digest()


def member(job_id: str) -> int:
    """A finished job in its set: Redis keeps whole numbers of 64 bits in 8 bytes. Other bits choose the set."""
    return int(job_id[16:], 16) - (1 << 63)


def token(epoch: int) -> bytes:
    """An epoch as scripts compare it, and as records hold it."""
    return epoch.to_bytes(8)
