"""The figures of a campaign as one document: `--json` prints it, and the page shows it. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from worker.model.outcomes import OUTCOMES, Outcome
from worker.reporting.conversions import Step
from worker.reporting.figures import TOO_MANY, Figures
from worker.reporting.groups import Groups

MOST_LISTED: Final = 50
"""Codes, shops, channels and runs that are listed by name; the largest first, and all others in one row."""

MOST_MESSAGES: Final = 10


def document(
    figures: Figures,
    *,
    campaign: str,
    shop: str | None,
    made_at: datetime,
    rejected: Mapping[str, int] | None,
    conversions: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything that is known of a campaign, ready for JSON. Times are RFC 3339 in UTC.

    ``outside`` are results whose time can't be right. ``rejected`` are rows by reason, None if no rejects file was
    read. ``conversions`` is what :func:`conversions_of` makes, None if nobody was asked.
    """
    timeline, latency = figures.timeline, figures.latency
    return {
        "campaign": campaign,
        "shop": shop,
        "made_at": _time(made_at),
        "first_at": _time(timeline.first),
        "last_at": _time(timeline.last),
        "sandbox": figures.rehearsed,
        "jobs": figures.jobs,
        "outcomes": _by_outcome(figures.outcomes),
        "codes": [
            {
                "outcome": outcome,
                "code": code,
                "results": number,
                "meaning": told.meaning,
                "remedy": told.remedy,
                "message": figures.messages.of_code(outcome, code),
            }
            for outcome, code, number, told in figures.by_code(MOST_LISTED)
        ],
        "over_time": {
            "step_seconds": timeline.step,
            "spans": [{"from": _time(begin), "outcomes": counts} for begin, counts in timeline.spans()],
            "outside": _by_outcome(timeline.outside),
        },
        "shops": _groups(figures.shops),
        "channels": _groups(figures.channels),
        "runs": _groups(figures.runs),
        "attempts": {
            "total": figures.calls,
            "jobs": {
                f"{TOO_MANY}+" if number == TOO_MANY else str(number): jobs
                for number, jobs in sorted(figures.attempts.items())
            },
        },
        "latency_seconds": {
            "calls": latency.count,
            **{f"p{percent}": latency.percentile(percent / 100) for percent in (50, 90, 99)},
            "histogram": [{"from": begin, "below": end, "calls": number} for begin, end, number in latency.bars()],
        },
        "share_actions": figures.share_actions,
        "messages": [
            {"message": text, "outcome": outcome, "code": code, "results": number}
            for text, outcome, code, number in figures.messages.most_common(MOST_MESSAGES)
        ],
        "other_messages": figures.messages.rest(MOST_MESSAGES),
        "rejected_rows": dict(_ranked(rejected)) if rejected is not None else None,
        "conversions": conversions,
    }


def conversions_of(
    totals: Mapping[Step, int],
    days: Mapping[date, Mapping[Step, int]],
    asked: Mapping[str, str],
    remarks: Sequence[str],
) -> dict[str, Any]:
    """What came of the referrals, for :func:`document`.

    ``asked`` is the call that told it, by shop; ``remarks`` say why a shop told nothing.
    """
    return {
        "totals": dict(totals),
        "days": [{"day": day.isoformat(), **counts} for day, counts in days.items()],
        "asked": dict(asked),
        "remarks": list(remarks),
    }


def _by_outcome(counts: Mapping[Outcome, int]) -> dict[Outcome, int]:
    return {outcome: counts.get(outcome, 0) for outcome in OUTCOMES}


def _groups(groups: Groups) -> list[dict[str, Any]]:
    return [{"name": name, "outcomes": counts} for name, counts in groups.largest(MOST_LISTED)]


def _ranked(counts: Mapping[str, int]) -> Iterable[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _time(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if at is not None else None
