"""A campaign's plan: everything that is known of it before anything is sent, and its form for ``--json``. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.campaigns.exports.base import Format
from worker.instants import SECOND, rfc3339
from worker.model.campaign_orders import CampaignOrder
from worker.planning.circumstances import Shop, Workers
from worker.planning.examples import Place


@dataclass(frozen=True)
class ExportRead:
    """One export: its name, the preset by which it was read (None: by none), what kind of file it is, and its rows."""

    name: str
    preset: str | None
    format: Format
    encoding: str
    delimiter: str
    rows: int


@dataclass(frozen=True, slots=True)
class ShopForecast:
    """When a shop's jobs would be done (microseconds), and on how many days of its quota its calls would be made.

    ``late`` of the jobs would not have been called by their deadline, about. ``kept`` of them are called at certain
    hours only, which begin next at ``opens_at``; 0 while they last. The first of the calls is at ``starts_at``.
    ``closed`` are the stretches until ``done_at`` in which those that keep to hours are not called.
    """

    jobs: int
    done_at: int
    days: int
    late: int = 0
    kept: int = 0
    opens_at: int = 0
    starts_at: int = 0
    closed: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True, slots=True)
class Forecast:
    """A campaign's future from ``began`` on, by shop. A paused shop's counts as if it were resumed now."""

    began: int
    shops: Mapping[str, ShopForecast]

    @property
    def done_at(self) -> int:
        """When the last shop's jobs are done."""
        return max((shop.done_at for shop in self.shops.values()), default=self.began)

    @property
    def last(self) -> str | None:
        """The shop that is done last."""
        return max(self.shops, key=lambda slug: self.shops[slug].done_at, default=None)


@dataclass(frozen=True)
class Plan:
    """What exports would come to.

    ``jobs`` are all that the rows make, and ``done_already`` those of them that have an answer. ``under_way`` are jobs
    that an earlier publish has queued and a worker is trying. ``to_call`` are the others by shop and channel.
    ``rejected`` are rows by reason, with ``examples`` and their ``places``. ``over_quota`` are customers by shop that
    have more jobs than a day's calls, and how many jobs these have together. ``predicted`` are jobs by the code that
    they would end with, None if nobody asked. ``more`` is the forecast with more workers, as ``more_by`` says, None if
    that was not counted. ``remarks`` are lines on what could not be found out. ``untold`` are the exports whose consent
    nobody looked at, and ``suppressed`` counts the addresses of suppression lists. ``first`` is the forecast of the
    jobs that don't wait for a release, None where none does; ``forecast`` is then as if they were released at once. All
    are held until ``starts_at``; 0: they aren't.
    """

    exports: Sequence[ExportRead]
    rows: int
    jobs: int
    rejected: Counter[str]
    examples: Mapping[str, Sequence[str]]
    done_already: int
    under_way: int
    to_call: Counter[tuple[str, str]]
    over_quota: Mapping[str, tuple[int, int]]
    predicted: Mapping[str, int] | None
    shops: Mapping[str, Shop]
    workers: Workers
    forecast: Forecast
    more: Forecast | None
    more_by: str
    remarks: Sequence[str] = ()
    places: Mapping[str, Sequence[Place]] = field(default_factory=dict)
    untold: Sequence[str] = ()
    suppressed: int = 0
    first: Forecast | None = None
    starts_at: int = 0

    def held(self, slug: str) -> int:
        """How many of the shop's jobs wait for a release."""
        if self.first is None:
            return 0
        first = self.first.shops.get(slug)
        return self.forecast.shops[slug].jobs - (first.jobs if first is not None else 0)

    def waits_for_a_person(self, slug: str) -> bool:
        """Whether nobody knows when the shop's jobs are done, since a person has to let some of them go on."""
        return self._is_stopped(slug) or self.held(slug) > 0

    def data(self) -> dict[str, Any]:
        """The plan for ``--json``. A shop's ``jobs`` are those that would be called."""
        return {
            "exports": [
                {
                    "file": read.name,
                    "preset": read.preset,
                    "format": read.format,
                    "encoding": read.encoding,
                    "delimiter": read.delimiter,
                    "rows": read.rows,
                }
                for read in self.exports
            ],
            "rows": self.rows,
            "jobs": self.jobs,
            "rejected": dict(self.rejected),
            "examples": {reason: [place._asdict() for place in places] for reason, places in self.places.items()},
            "done_already": self.done_already,
            "predicted": None if self.predicted is None else dict(self.predicted),
            "shops": {slug: self._shop_data(slug, shop) for slug, shop in self.forecast.shops.items()},
        }

    def _shop_data(self, slug: str, shop: ShopForecast) -> dict[str, Any]:
        order = self.shops[slug].order or CampaignOrder()
        first = self.first.shops.get(slug) if self.first is not None else None
        return {
            "jobs": shop.jobs,
            "seconds": round((shop.done_at - self.forecast.began) / SECOND),
            "days": shop.days,
            "opens_at": _time(shop.opens_at),
            "starts_at": None if self._is_stopped(slug) else _time(shop.starts_at),
            # Nobody knows when a person lets a shop's calls go on.
            "done_at": None if self.waits_for_a_person(slug) else _time(shop.done_at),
            "closed_hours": [{"from": _time(begin), "until": _time(end)} for begin, end in shop.closed],
            "calls_per_second": round(SECOND / order.interval, 3) if order.interval else None,
            "calls_per_day": order.per_day or None,
            "held_back": self.held(slug),
            "first_done_at": _time(first.done_at) if first is not None and not self._is_stopped(slug) else None,
        }

    def _is_stopped(self, slug: str) -> bool:
        order = self.shops[slug].order
        return self.shops[slug].paused is not None or (order is not None and order.hold is not None)


def _time(at: int) -> str | None:
    return rfc3339(at) if at else None
