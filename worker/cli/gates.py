"""Whether a shop is open, and at which rate, in a person's words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.clock import SECOND, to_datetime
from worker.controls import Controls
from worker.limits import ShopLimits, next_reset
from worker.shops import ListedShop
from worker.store.base import ShopState


@dataclass(frozen=True, slots=True)
class GateView:
    """Why the shop is closed (``open``: it isn't), by which code or for which reason, since when and until when.

    Instants are microseconds; 0 is not known, or without an end.
    """

    gate: str
    code: str | None = None
    reason: str | None = None
    since: int = 0
    until: int = 0

    @property
    def text(self) -> str:
        """For a table's cell."""
        gate = f"{self.gate} since {time_of(self.since)}" if self.since else self.gate
        remark = self.code or self.reason
        return f"{gate} ({remark})" if remark else gate


def gate_of(state: ShopState, config: ListedShop, controls: Controls) -> GateView:
    """Of what closes the shop, that which a person has to do something about comes first."""
    if (pause := controls.pause_of(config.slug)) is not None:
        return GateView("paused", reason=pause.reason, since=pause.since)
    if state.closure is not None:
        return GateView(state.closure.reason, code=state.closure.code, until=state.closure.until)
    if state.calls_today >= config.limits.shop_per_day:
        return GateView("day_quota", until=next_reset(state.at, config.limits.resets_at))
    if state.blocked_until:
        return GateView("throttled", until=state.blocked_until)
    return GateView("open")


def limits_of(config: ListedShop, controls: Controls, now: int) -> ShopLimits:
    """The shop's limits in force."""
    limit = controls.limit_of(config.slug, now)
    return config.limits.lowered(limit.interval) if limit is not None else config.limits


def limit_data(shop: str, controls: Controls, now: int) -> dict[str, Any] | None:
    """By what an operator has lowered the shop's rate, for --json."""
    limit = controls.limit_of(shop, now)
    if limit is None:
        return None
    return {
        "calls_per_second": round(SECOND / limit.interval, 3),
        "reason": limit.reason,
        "since": time_of(limit.since),
        "until": time_of(limit.until),
    }


def limit_line(shop: str, limit: Mapping[str, Any]) -> str:
    """The same for a person."""
    return f"{shop} is limited to {limit['calls_per_second']:g} calls/s until {limit['until']} ({limit['reason']})"


def time_of(at: int) -> str:
    """An instant as people and programs read it."""
    return to_datetime(at).isoformat(timespec="seconds")
