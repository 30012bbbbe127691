"""A campaign's plan: everything that is known of it before anything is sent, and its form for ``--json``. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.campaigns.exports.base import Format
from worker.instants import SECOND, to_datetime
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
    hours only, which begin next at ``opens_at``; 0 while they last.
    """

    jobs: int
    done_at: int
    days: int
    late: int = 0
    kept: int = 0
    opens_at: int = 0


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
    nobody looked at, and ``suppressed`` counts the addresses of suppression lists.
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
            "shops": {
                slug: {
                    "jobs": shop.jobs,
                    "seconds": round((shop.done_at - self.forecast.began) / SECOND),
                    "days": shop.days,
                    "opens_at": to_datetime(shop.opens_at).isoformat(timespec="seconds") if shop.opens_at else None,
                    # Nobody knows when a person lets a shop's calls go on.
                    "done_at": (
                        None
                        if self.shops[slug].paused is not None
                        else to_datetime(shop.done_at).isoformat(timespec="seconds")
                    ),
                }
                for slug, shop in self.forecast.shops.items()
            },
        }
