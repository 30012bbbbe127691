"""Whether a shop is open, why not, and at which rate it may be called: for tables and for ``--json``. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.cli.times import instant_of, moment
from worker.instants import SECOND, rfc3339
from worker.limits.reserve import bulk_opens_at, kept_of_day
from worker.limits.token_bucket import ShopLimits, next_reset
from worker.model.controls import Controls
from worker.model.windows import MARGIN, both
from worker.shops.config import ListedShop
from worker.store.shop_state import ShopState


@dataclass(frozen=True, slots=True)
class GateView:
    """A shop's state: ``gate`` is ``open``, or why it is closed, with Refer2's code or the operator's reason.

    ``since`` and ``until`` are instants in microseconds; 0 means unknown, or without an end.
    """

    gate: str
    code: str | None = None
    reason: str | None = None
    since: int = 0
    until: int = 0

    @property
    def text(self) -> str:
        """The state for a cell of a table."""
        gate = f"{self.gate} since {moment(self.since, seconds=True)}" if self.since else self.gate
        remark = self.code or self.reason
        return f"{gate} ({remark})" if remark else gate

    @property
    def note(self) -> str | None:
        """The state with its end, for a line of its own; None if the word in the table says it all."""
        if not (self.since or self.until or self.code or self.reason):
            return None
        end = "next try at" if self.gate in _TRIED_AGAIN else "until"
        return f"{self.text}, {end} {moment(self.until, seconds=True)}" if self.until else self.text

    @property
    def needs_a_person(self) -> bool:
        """Whether a person may have to do something before the shop opens."""
        return self.gate == "paused" or self.gate in _TRIED_AGAIN

    @property
    def opens_by_itself(self) -> bool:
        """Whether it is known when the shop opens. It isn't while a person or Refer2's refusal decides that."""
        return self.gate not in {"paused", "halted", "unlisted_code"}


_TRIED_AGAIN = frozenset({"halted", "breaker", "unlisted_code"})
"""Closed until a call is answered well. ``until`` is then the time of the next try, not the end."""


def hours_of(config: ListedShop, now: int) -> GateView | None:
    """What a shop is outside of its window, with the channels that keep to it; None within it."""
    window = both(config.window, None)
    if window is None or window.is_open(now):
        return None
    channels = "all channels" if config.keeps_all_hours else ", ".join(config.window_channels)
    # Without the second for which the first call waits: people look for the hour that they wrote.
    return GateView("window", reason=channels, until=window.opens_at(now) - MARGIN)


def gate_of(state: ShopState | None, slug: str, config: ListedShop | None, controls: Controls) -> GateView:
    """The state of a shop. If several things close it, the one that a person must act on is returned, and of those that
    end by themselves the one that ends last.

    Without ``config`` neither a spent day nor a window is noticed. Without ``state`` only a pause is known.
    """
    # In the order of who has to act: an operator resumes a pause, a person or Refer2 ends a closure, and the day's
    # quota, a 429 and hours end by themselves.
    if (pause := controls.pause_of(slug)) is not None:
        return GateView("paused", reason=pause.reason, since=pause.since)
    if state is None:
        return GateView("?")
    if state.closure is not None:
        return GateView(state.closure.reason, code=state.closure.code, until=state.closure.until)
    ends = []
    if config is not None and state.calls_today >= config.limits.shop_per_day:
        ends.append(GateView("day_quota", until=next_reset(state.at, config.limits.resets_at)))
    elif config is not None and (opens_at := _reserve_opens_at(config.limits, state)) is not None:
        ends.append(GateView("reserve", until=opens_at))
    if state.blocked_until:
        ends.append(GateView("throttled", until=state.blocked_until))
    if config is not None and (outside := hours_of(config, state.at)) is not None:
        ends.append(outside)
    return max(ends, key=lambda gate: gate.until, default=GateView("open"))


def _reserve_opens_at(limits: ShopLimits, state: ShopState) -> int | None:
    """When jobs that aren't urgent may have one of the calls that are left of the day; None if at once."""
    reset, remaining = next_reset(state.at, limits.resets_at), limits.shop_per_day - state.calls_today
    reserve = limits.reserve_per_day
    if not reserve or remaining > kept_of_day(reserve, state.urgent_today, reset - state.at):
        return None
    return bulk_opens_at(reserve, remaining, reset)


def reserve_data(config: ListedShop, state: ShopState) -> dict[str, Any] | None:
    """What the shop keeps for urgent jobs, for ``--json``; None for nothing. They had ``used_today`` calls today."""
    limits = config.limits
    if not (limits.reserve or limits.reserve_per_day):
        return None
    left = next_reset(state.at, limits.resets_at) - state.at
    kept = kept_of_day(limits.reserve_per_day, state.urgent_today, left) if limits.reserve_per_day else 0
    return {
        "burst": limits.reserve,
        "per_day": limits.reserve_per_day,
        "kept_today": kept,
        "used_today": state.urgent_today,
    }


def reserve_line(shop: str, reserve: Mapping[str, Any]) -> str:
    """The same as a line for a person."""
    kept = []
    if reserve["per_day"]:
        kept.append(f"{reserve['kept_today']:,} of today's calls (of {reserve['per_day']:,} a day)")
    if reserve["burst"]:
        kept.append(f"{reserve['burst']:,} at once")
    return f"{shop} keeps {' and '.join(kept)} for urgent jobs, which had {reserve['used_today']:,} calls today"


def gate_in(data: Mapping[str, Any]) -> GateView:
    """The state, read back from a shop's ``--json``."""
    since, until = (instant_of(data[end]) if data[end] else 0 for end in ("since", "until"))
    return GateView(data["gate"], data["code"], data["reason"], since, until)


def limits_of(config: ListedShop, controls: Controls, now: int) -> ShopLimits:
    """The limits in force: the shops file's, lowered by an operator's limit if there is one."""
    # The store's state depends on the rate, so it must be asked with the rate that workers use now.
    limit = controls.limit_of(config.slug, now)
    return config.limits.lowered(limit.interval) if limit is not None else config.limits


def limit_data(shop: str, controls: Controls, now: int) -> dict[str, Any] | None:
    """The operator's limit on the shop's rate for ``--json``; None if there is none."""
    limit = controls.limit_of(shop, now)
    if limit is None:
        return None
    return {
        "calls_per_second": round(SECOND / limit.interval, 3),
        "reason": limit.reason,
        "since": rfc3339(limit.since),
        "until": rfc3339(limit.until),
    }


def limit_line(shop: str, limit: Mapping[str, Any]) -> str:
    """The operator's limit as a line for a person."""
    until = moment(instant_of(limit["until"]), seconds=True)
    return f"{shop} is limited to {limit['calls_per_second']:g} calls/s until {until} ({limit['reason']})"


def halted_line(shop: str) -> str:
    """Which command shows why the shop is halted."""
    return f"`referrals shops check {shop}` shows why"
