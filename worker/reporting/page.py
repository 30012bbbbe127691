"""The page that shows a campaign's figures: one file of HTML that asks the network for nothing and runs no script."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from worker.campaigns.reject_reasons import REASONS
from worker.model.codes import OUTCOMES as TOLD
from worker.model.outcomes import OUTCOMES
from worker.reporting import charts
from worker.reporting.conversions import STEPS
from worker.reporting.timeline import DAY, HOUR, MINUTE, MOST_SPANS, WEEK
from worker.text.visible import one_line

MARK: Final = '<meta name="generator" content="referral-dispatch report">'
"""Is in every page near its beginning, so that a page is replaced by a new one and no other file is."""

_CODE = re.compile(r"`([^`]+)`")


def page(document: Mapping[str, Any]) -> str:
    """The page for a document of :func:`worker.reporting.document.document`."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": lambda value: f"{value:,}",
        "percent": _percent,
        "code": _marked,
        "sentence": lambda text: text[:1].upper() + text[1:] + ".",
        "seconds": lambda value: f"{value:g} s",
        "minute": _minute,
        "sum_of": lambda counts, names: sum(counts[name] for name in names),
        "listed": lambda counts, names: ", ".join(f"{name} {counts[name]:,}" for name in names),
        "by_day": _by_day,
    }
    return environment.get_template("page.html.j2").render(
        document,
        mark=Markup(MARK),  # noqa: S704 - a constant of ours
        charts=charts,
        told=TOLD,
        reasons=REASONS,
        steps=STEPS,
        occurring=[outcome for outcome in OUTCOMES if document["outcomes"][outcome]],
        headline=headline(document),
        every=_every(document["over_time"]["step_seconds"]),
    )


_PHRASES: Final = {
    "sent": "{} sent",
    "rejected": "{} rejected",
    "failed": "{} failed",
    "unknown": "{} unknown, which may have been carried out or not",
    "expired": "{} expired before the call",
    "cancelled": "{} cancelled before the call",
}


def headline(document: Mapping[str, Any]) -> str:
    """What became of the campaign, in one sentence."""
    jobs, outcomes = document["jobs"], document["outcomes"]
    parts = [
        f"{_PHRASES[outcome].format(f'{outcomes[outcome]:,}')} ({_percent(outcomes[outcome], jobs)})"
        for outcome in OUTCOMES
        if outcomes[outcome]
    ]
    ended = "1 job has ended" if jobs == 1 else f"{jobs:,} jobs have ended"
    return f"{ended}: {', '.join(parts)}."


def _percent(part: int, whole: int) -> str:
    """A share to a tenth of a percent; only what is all or nothing reads as 100 or 0."""
    if part in (0, whole):
        return "100 %" if part else "0 %"
    return f"{min(max(round(100 * part / whole, 1), 0.1), 99.9):.1f} %"


def _visible(value: Any) -> Any:
    # Of every text that the template writes, wherever it comes from. It is escaped for HTML after this.
    return one_line(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _marked(text: str) -> Markup:
    """A text of ours in Markdown, of which it uses only `code`, as HTML."""
    # A plain text, since what a regular expression puts into Markup is escaped once more.
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


def _minute(at: str, step: int = MINUTE) -> str:
    """A time of the document as people write it, as exactly as the length of a span asks for."""
    return f"{datetime.fromisoformat(at):{'%Y-%m-%d' if step >= DAY else '%Y-%m-%d %H:%M'}}"


def _by_day(days: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Acceptances of each day from the first to the last, those without any included; of several days where they are
    many.
    """
    counts = {date.fromisoformat(row["day"]): row["accepted"] for row in days}
    first, last = min(counts), max(counts)
    step = -(-((last - first).days + 1) // MOST_SPANS)
    spans = [
        {"day": (first + timedelta(number)).isoformat(), "accepted": 0}
        for number in range(0, (last - first).days + 1, step)
    ]
    for day, number in counts.items():
        spans[(day - first).days // step]["accepted"] += number
    return spans


def _every(step: int) -> str:
    units = ((WEEK, "week"), (DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"))
    length, unit = next((length, unit) for length, unit in units if step % length == 0)
    number = step // length
    return unit if number == 1 else f"{number:,} {unit}s"
