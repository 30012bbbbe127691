"""The settings of a sandbox, and the vendor's limits."""

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

from worker.errors import ConfigurationError
from worker.instants import SECOND
from worker.limits.token_bucket import Rate, ShopLimits
from worker.sandbox.misbehaviour import Behaviour

SANDBOX_KEY_ID = "sandbox"
SANDBOX_SECRET = "sandbox-secret-that-protects-nothing-0123456789"  # noqa: S105 - public on purpose
"""The credential of every shop, if the sandbox is given no shops."""

_SHORTEST_SECRET = 32
"""Bytes: for HS256, RFC 7518 asks for a key at least as long as the hash."""


def make_limits(
    *,
    per_second: float = 100,
    per_day: int = 100_000,
    customer_per_second: float = 2,
    customer_per_day: int = 200,
    resets_at: int = 0,
) -> ShopLimits:
    """The four limits, by default the vendor's initial ones. The burst of each bucket is its rate.

    ``resets_at`` is in microseconds after midnight UTC.
    """
    return ShopLimits(
        shop=Rate.per_second(per_second, math.floor(per_second)),
        shop_per_day=per_day,
        customer=Rate.per_second(customer_per_second, math.floor(customer_per_second)),
        customer_per_day=customer_per_day,
        resets_at=resets_at,
    )


VENDOR_LIMITS = make_limits()
"""The vendor's initial limits for writes (public API pages, read 2026-11)."""

VENDOR_READ_LIMITS = make_limits(per_second=SECOND, per_day=10**12, customer_per_day=1000)
"""The vendor's limits for reads. They are per customer only, 2 a second and 1,000 a day."""


@dataclass(frozen=True)
class SandboxConfig:
    """The settings of a sandbox. Ids and addresses are compared trimmed and without case, but those of ``customers``
    as Refer2 is assumed to compare: only addresses without case.

    Raises:
      ConfigurationError: a secret has fewer than the 32 bytes that HS256 needs.
    """

    shops: Mapping[str, Mapping[str, str]] | None = field(default=None, repr=False)
    """Key ids and secrets by shop. None accepts any shop, with :data:`SANDBOX_KEY_ID` and its secret."""

    limits: ShopLimits | None = VENDOR_LIMITS
    """Limits for writes, for each shop separately; None for no limits."""

    read_limits: ShopLimits | None = VENDOR_READ_LIMITS
    """Limits for ``CustomerReferrals2``; None for no limits."""

    max_delay: int = 5 * SECOND
    """Longest that a call over a limit is held back, in microseconds. If it would take longer, the answer is 429."""

    versions: AbstractSet[str] = frozenset({"v2023061", "v20230601"})
    obsolete_versions: AbstractSet[str] = frozenset()
    inaccessible_versions: AbstractSet[str] = frozenset()
    """API versions. A version in none of the three sets is invalid."""

    customers: Path | None = None
    """A file of every shop's customers; see :mod:`worker.sandbox.customer_file`. None: any id is a customer's."""

    accepted: float = 0.0
    """The share of referrals, from 0 to 1, that friends have accepted as soon as they are made."""

    strangers: AbstractSet[str] = frozenset()
    """Ids and addresses of nobody. Without a file of customers, all others are customers'."""

    mismatches: AbstractSet[tuple[str, str]] = frozenset()
    """Pairs of ids that belong to different customers."""

    # Tests and benchmarks set this; people use the addresses of the convention, which need no configuration.
    behaviours: Mapping[str, Behaviour] = field(default_factory=dict)
    """How to misbehave, by a customer's id or address. It has precedence over what the address itself asks for."""

    keep_calls: int = 100_000
    """How many of the latest calls are kept in memory. Older ones are only counted."""

    log: Path | None = None
    """A file to which each call is appended as a line of JSON."""

    def __post_init__(self) -> None:
        # Checked here, so that a short secret is one line at the start and no surprise at a call.
        for shop, keys in (self.shops or {}).items():
            for key_id, secret in keys.items():
                if len(secret.encode()) < _SHORTEST_SECRET:
                    raise ConfigurationError(
                        f"sandbox shop {shop!r}, key {key_id!r}: the secret has fewer than {_SHORTEST_SECRET} "
                        "bytes; HS256 needs a longer one"
                    )
