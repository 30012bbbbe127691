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

_FIRM: Final = "\N{NO-BREAK SPACE}"
"""Between a number and its unit, so that no line ends there."""

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
        "duration": _duration,
        "counted": _counted,
        "moment": _moment,
        "breakable": _breakable,
        "nonempty": _nonempty,
        "sum_of": lambda counts, names: sum(counts[name] for name in names),
        "listed": lambda counts, names: ", ".join(f"{name} {counts[name]:,}" for name in names),
        "by_day": _by_day,
        "days_each": _days_each,
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
        over_time=_over_time(document["over_time"]),
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
    ended = f"{_counted(jobs, 'job')} {'has' if jobs == 1 else 'have'} ended"
    return f"{ended}: {', '.join(parts)}."


def _percent(part: int, whole: int) -> str:
    """A share to a tenth of a percent; only what is all or nothing reads as 100 or 0."""
    if part in (0, whole):
        return f"100{_FIRM}%" if part else f"0{_FIRM}%"
    return f"{min(max(round(100 * part / whole, 1), 0.1), 99.9):.1f}{_FIRM}%"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what if number == 1 else f'{what}s'}"


def _duration(seconds: float) -> str:
    """A latency in milliseconds, from a second on in seconds, to two or three digits."""
    milliseconds = 1000 * seconds
    if milliseconds < 1:
        return f"under 1{_FIRM}ms"
    if milliseconds < 10:
        return f"{round(milliseconds, 1):g}{_FIRM}ms"
    if round(milliseconds) < 1000:
        return f"{round(milliseconds)}{_FIRM}ms"
    return f"{round(seconds, 2):g}{_FIRM}s" if seconds < 100 else f"{round(seconds):,}{_FIRM}s"


def _visible(value: Any) -> Any:
    # Of every text that the template writes, wherever it comes from. It is escaped for HTML after this.
    return one_line(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _marked(text: str) -> Markup:
    """A text of ours in Markdown, of which it uses only `code`, as HTML."""
    # A plain text, since what a regular expression puts into Markup is escaped once more.
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


def _breakable(text: str) -> Markup:
    """A name such as an error code, which may go on in the next line behind each underscore."""
    return Markup("_<wbr>").join(map(escape, one_line(text).split("_")))


def _nonempty(rows: Sequence[Mapping[str, Any]], name: str) -> Sequence[Mapping[str, Any]]:
    """The rows from the first to the last whose number of this name is more than nothing."""
    full = [at for at, row in enumerate(rows) if row[name]]
    return rows[full[0] : full[-1] + 1] if full else []


def _moment(at: str, step: int = MINUTE, day: bool = True) -> str:
    """A time of the document as people write it, as exactly as the length of a span asks for."""
    time = "" if step >= DAY else "%H:%M" if step >= MINUTE else "%H:%M:%S"
    return f"{datetime.fromisoformat(at):{' '.join(filter(None, ['%Y-%m-%d' if day or not time else '', time]))}}"


def _over_time(document: Mapping[str, Any]) -> dict[str, Any]:
    """The timeline with its labels: their date is left out where all of them have the same, which is ``day`` then."""
    step, spans = document["step_seconds"], document["spans"]
    days = {span["from"][:10] for span in spans}
    day = days.pop() if len(days) == 1 and step < DAY else None
    return {
        **document,
        "day": day,
        "begins": [_moment(span["from"], step, day is None) for span in spans],
        "every": _every(step),
    }


def _by_day(days: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The steps of each day from the first to the last, those without any included; of several days where they are
    many.
    """
    first, last = (date.fromisoformat(days[at]["day"]) for at in (0, -1))
    step = -(-((last - first).days + 1) // MOST_SPANS)
    spans = [
        {"day": (first + timedelta(number)).isoformat(), **dict.fromkeys(STEPS, 0)}
        for number in range(0, (last - first).days + 1, step)
    ]
    for row in days:
        span = spans[(date.fromisoformat(row["day"]) - first).days // step]
        for name in STEPS:
            span[name] += row[name]
    return spans


def _days_each(spans: Sequence[Mapping[str, Any]]) -> str:
    """How long each of the spans of days is."""
    first, second = (date.fromisoformat(spans[at]["day"]) for at in (0, min(1, len(spans) - 1)))
    return _every(max((second - first).days, 1) * DAY)


def _every(step: int) -> str:
    units = ((WEEK, "week"), (DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (1, "second"))
    length, unit = next((length, unit) for length, unit in units if step % length == 0)
    number = step // length
    return unit if number == 1 else f"{number:,} {unit}s"
