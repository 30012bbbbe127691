"""What is ordered about campaigns, for a person and for ``--json``. Pure."""

from collections.abc import Iterator
from shlex import quote
from typing import Any

from worker.cli.times import instant_of, moment
from worker.instants import SECOND, rfc3339
from worker.model.campaign_orders import FOREVER, CampaignOrder, Hold
from worker.model.controls import EVERY_SHOP, Controls


def ordered(controls: Controls, campaign: str | None, shop: str | None, now: int) -> Iterator[dict[str, Any]]:
    """What is in force, by campaign and shop, cancellations included; only for one ``campaign``, or what holds for one
    ``shop``.
    """
    in_force = {of: order for of, each in controls.campaigns.items() if (order := each.in_force(now)) is not None}
    cancelled = {of: CampaignOrder() for of, until in controls.cancelled.items() if until > now}
    for (name, of), order in sorted({**cancelled, **in_force}.items()):
        if campaign in {None, name} and (shop is None or of in {shop, EVERY_SHOP}):
            yield {"campaign": name, "shop": of, "cancelled": controls.is_cancelled(name, of, now)} | order_data(order)


def holds_any(controls: Controls, shop: str, now: int) -> bool:
    """Whether any campaign is held at the shop, so that jobs wait in its held lane until somebody lets them go."""
    orders = (order for (_, of), order in controls.campaigns.items() if of in {shop, EVERY_SHOP})
    return any(order.held(now, aside=True) is not None for order in orders)


def order_data(order: CampaignOrder) -> dict[str, Any]:
    """One order for ``--json``."""
    return {
        "held": _hold_data(order.hold),
        "rest": _hold_data(order.rest),
        "calls_per_second": round(SECOND / order.interval, 3) if order.interval else None,
        "calls_per_day": order.per_day or None,
        "brake": str(order.brake) if order.brake is not None else None,
    }


def hold_text(hold: dict[str, Any]) -> str:
    """Why a campaign is held, since when, and until when if that is known."""
    words = {
        "paused": "paused",
        "brake": "stopped by its brake",
        "first": "the rest waits to be released",
        "start": "waits for its start",
    }
    text = f"{words.get(hold['kind'], hold['kind'])} since {_shown(hold['since'])}"
    if hold["until"]:
        text += f", until {_shown(hold['until'])}"
    return f"{text} ({hold['reason']})" if hold["reason"] else text


def hold_notes(data: dict[str, Any], campaign: str, shop: str) -> list[str]:
    """Why a campaign is held at a shop, or at every shop, a line each; of a brake that has tripped also what to do."""
    notes = [hold_text(hold) for hold in (data["held"], data["rest"]) if hold is not None]
    if data["held"] is not None and data["held"]["kind"] == "brake":
        of = " ".join([quote(campaign), *(["--shop", shop] if shop != EVERY_SHOP else [])])
        notes[0] += f"; look at the results, then `referrals campaigns resume {of}` or `referrals cancel {of}`"
    return notes


def order_notes(data: dict[str, Any], campaign: str, shop: str) -> list[str]:
    """What is ordered, a line each; nothing for a brake that has not tripped."""
    return [*hold_notes(data, campaign, shop), *([f"at most {pace_of(data)}"] if pace_of(data) else [])]


def pace_of(data: dict[str, Any]) -> str:
    """The campaign's pace for a cell; empty for none."""
    each = [f"{data['calls_per_second']:g} calls/s"] if data["calls_per_second"] else []
    return ", ".join([*each, *([f"{data['calls_per_day']:,} a day"] if data["calls_per_day"] else [])])


def _shown(at: str) -> str:
    return moment(instant_of(at), seconds=True)


def _hold_data(hold: Hold | None) -> dict[str, Any] | None:
    if hold is None:
        return None
    return {
        "kind": hold.kind,
        "reason": hold.reason or None,
        "since": rfc3339(hold.since),
        "until": rfc3339(hold.until) if hold.until != FOREVER else None,
    }
