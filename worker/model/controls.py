"""What an operator has ordered: shops that are paused or go slower, campaigns that are called off."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from worker.model.job import canonical

EVERY_SHOP = "*"
"""Stands for all shops, those to come included; no slug looks like it."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a shop is paused, and since when (microseconds)."""

    reason: str
    since: int


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How far apart a shop's calls are at least (microseconds), why, since when and until when."""

    interval: int
    reason: str
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Controls:
    """All of it at one moment. ``version`` tells it from every earlier one.

    ``pauses`` and ``limits`` are by shop; ``cancelled`` says by campaign and shop until when it is remembered
    (microseconds).
    """

    version: int = 0
    pauses: Mapping[str, Pause] = field(default_factory=dict)
    cancelled: Mapping[tuple[str, str], int] = field(default_factory=dict)
    limits: Mapping[str, RateLimit] = field(default_factory=dict)

    def pause_of(self, shop: str) -> Pause | None:
        """Why the shop may not be called; its own pause goes before that of all shops."""
        return self.pauses.get(shop) or self.pauses.get(EVERY_SHOP)

    def limit_of(self, shop: str, now: int) -> RateLimit | None:
        """By what the shop's rate is lowered."""
        limit = self.limits.get(shop)
        return limit if limit is not None and limit.until > now else None

    def is_cancelled(self, campaign: str, shop: str, now: int) -> bool:
        """Whether the shop's jobs of the campaign are called off; names are compared as job ids take them."""
        name = canonical(campaign) or ""
        return any(self.cancelled.get((name, of), 0) > now for of in (shop, EVERY_SHOP))

    def with_pause(self, shop: str, reason: str, now: int) -> "Controls":
        """Another reason for what is paused already doesn't change since when it is."""
        since = self.pauses[shop].since if shop in self.pauses else now
        return self._next(now, pauses={**self.pauses, shop: Pause(reason, since)})

    def without_pause(self, shop: str, now: int) -> "Controls":
        """A pause of all shops and those of single ones are lifted apart."""
        return self._next(now, pauses={name: pause for name, pause in self.pauses.items() if name != shop})

    def with_limit(self, shop: str, interval: int, reason: str, now: int, until: int) -> "Controls":
        """In place of one that the shop has already."""
        return self._next(now, limits={**self.limits, shop: RateLimit(interval, reason, now, until)})

    def without_limit(self, shop: str, now: int) -> "Controls":
        """The shops file's rate is in force again."""
        return self._next(now, limits={name: limit for name, limit in self.limits.items() if name != shop})

    def with_cancelled(self, campaign: str, shop: str, now: int, until: int) -> "Controls":
        """Remembered until ``until``."""
        return self._next(now, cancelled={**self.cancelled, (campaign, shop): until})

    def without_cancelled(self, campaign: str, shop: str, now: int) -> "Controls":
        """For all shops, that of single ones goes along."""
        kept = {key: until for key, until in self.cancelled.items() if key[0] != campaign or shop not in {key[1], "*"}}
        return self._next(now, cancelled=kept)

    def _next(
        self,
        now: int,
        *,
        pauses: Mapping[str, Pause] | None = None,
        cancelled: Mapping[tuple[str, str], int] | None = None,
        limits: Mapping[str, RateLimit] | None = None,
    ) -> "Controls":
        return replace(
            self,
            version=max(now, self.version + 1),
            pauses=self.pauses if pauses is None else pauses,
            cancelled={
                key: until for key, until in (self.cancelled if cancelled is None else cancelled).items() if until > now
            },
            limits={
                shop: limit for shop, limit in (self.limits if limits is None else limits).items() if limit.until > now
            },
        )
