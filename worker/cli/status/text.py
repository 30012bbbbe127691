"""The report of `referrals status` as lines for a person; what needs attention comes first. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.cli.campaigns.view import order_notes
from worker.cli.shop_view import gate_in, halted_line, limit_line, reserve_line
from worker.cli.shops.serving import unserved_line
from worker.cli.tables import Row, clipped, columns, height, wrapped
from worker.model.controls import EVERY_SHOP

MOST_ROWS = 20
"""Shops, or campaigns, that are shown one by one unless --all is given: 3,000 shops were 495 KB."""

_CAMPAIGN = ("campaign", "shop", "published", "sent", "rejected", "left")
_PUBLISHED, _LEFT = _CAMPAIGN.index("published"), _CAMPAIGN.index("left")
_SHOP = ("shop", "state", "waiting", "at worker", "jobs/s", "max/s", "left today", "time left")

_SUMMED = (
    "published",
    "uncounted",
    "sent",
    "rejected",
    "failed",
    "unknown",
    "expired",
    "cancelled",
    "suppressed",
    "duplicates",
    "dead",
)
_LANES = {"urgent": "urgent", "paced": "over their campaigns' pace", "held": "held or outside of their hours"}

_NO_TIME_LEFT = {
    "held": "all that is left is held until somebody lets it go",
    "hours": "all that is left waits for hours of its own",
    "held_or_hours": "all that is left is held until somebody lets it go, or waits for its hours",
    "delayed": "all that could go is in the delay queues, or waits for hours of its own",
    "far": "it is more than a year",
}

_REST = ("failed", "unknown", "expired", "cancelled", "duplicates", "dead")


@dataclass(frozen=True)
class Frame:
    """The room for the report: ``width`` and ``height`` of the terminal, None without one.

    ``every``: show each shop and campaign, however many there are.
    """

    width: int | None = None
    height: int | None = None
    every: bool = False


def lines_of(report: Mapping[str, Any], frame: Frame) -> list[str]:
    """The lines of the report. In a frame with a height they fit it, as far as three lines of each table allow.

    Such a frame also includes the :func:`remarks`; without a height the caller prints them on stderr.
    """
    # Tables are cut at their ends, so shops that need attention come first.
    shops = sorted(report["shops"], key=lambda shop: not gate_in(shop).needs_a_person)
    totals, foot = [], _wrapped(_foot(report), frame)
    if len(shops) > MOST_ROWS and not frame.every:
        totals = _wrapped([_totals(shops)], frame)
        shops = [shop for shop in shops if gate_in(shop).needs_a_person]
    campaign_rows, head = _campaign_rows(report, frame), []
    shop_rows = [_shop_row(row) for row in shops]
    if frame.height is not None:
        head = _wrapped(_remarks(report, campaign_rows), frame)
        # Three more lines: an empty one after each table, and one for the cursor.
        room = max(0, frame.height - len(head) - len(totals) - len(foot) - 3)
        wanted = height(shop_rows, frame.width)
        campaign_rows = clipped(campaign_rows, max(room - wanted, room // 2, 3), frame.width, "campaigns")
        room -= height(campaign_rows, frame.width)
        shop_rows = clipped(shop_rows, max(room, 3), frame.width, "shops")
        # Again, now that rows are cut: a sign is explained only if a row with it is shown.
        head = _wrapped(_remarks(report, campaign_rows), frame)
    elif not frame.every:
        shop_rows = _first(shop_rows, "shops that are closed")
    return [
        *head,
        *totals,
        *(columns(_CAMPAIGN, campaign_rows, texts=2, width=frame.width) if campaign_rows else []),
        *([""] if campaign_rows else []),
        *(columns(_SHOP, shop_rows, texts=2, width=frame.width) if shop_rows else []),
        *([""] if shop_rows else []),
        *foot,
    ]


def remarks(report: Mapping[str, Any], frame: Frame = Frame()) -> list[str]:
    """One line for each thing that could not be found out, or that doesn't add up."""
    return _remarks(report, _campaign_rows(report, frame))


def _remarks(report: Mapping[str, Any], campaigns: Sequence[Row]) -> list[str]:
    remarks = list(report["problems"])
    if report["unserved"]:
        remarks.append(unserved_line(report["unserved"], anybody=bool(report["consumers"])))
    gap = report["unaccounted"]
    more = -gap if gap is not None and gap < 0 else 0
    uncounted = any(row.cells[_PUBLISHED].endswith("+") for row in campaigns)
    if uncounted or more:
        total = f" ({more:,} of all campaigns together)" if more else ""
        begin = f"+: more jobs than were counted as published{total}" if uncounted else _more(more)
        unknown = any(row.cells[_LEFT] == "?" for row in campaigns)
        end = "; only the shop's queue shows how many are left (?)" if unknown else ""
        remarks.append(
            f"{begin}: published by a program that doesn't count, by `publish` without the store, or before the store "
            f"lost its data{end}"
        )
    if gap is not None and gap > 0:
        are = "job is" if gap == 1 else "jobs are"
        remarks.append(
            f"{gap:,} {are} missing: counted as published, but not as ended and not in any queue; for causes and "
            "remedies see docs/queues.md#missing-jobs"
        )
    if gap is None and not report["problems"]:
        remarks.append(
            "could not check that all jobs are accounted for: RabbitMQ does not report the jobs that workers hold"
        )
    return remarks


# A sum below 0 means that jobs were published without being counted; it is no loss.
def _more(jobs: int) -> str:
    return f"{jobs:,} more {'job' if jobs == 1 else 'jobs'} than were counted as published"


def _wrapped(texts: Sequence[str], frame: Frame) -> list[str]:
    return [line for text in texts for line in wrapped(text, frame.width, indent="")]


def _campaign_rows(report: Mapping[str, Any], frame: Frame) -> list[Row]:
    campaigns = _campaigns(report["campaigns"], every=frame.every)
    if frame.height is not None:
        campaigns.sort(key=lambda row: row["left"] == 0)
    rows = [_campaign_row(row) for row in campaigns]
    return rows if frame.every or frame.height is not None else _first(rows, "campaigns")


def _first(rows: Sequence[Row], what: str) -> list[Row]:
    """The first :data:`MOST_ROWS` rows; the last one's notes say how many more there are of ``what``."""
    if len(rows) <= MOST_ROWS:
        return list(rows)
    last = rows[MOST_ROWS - 1]
    more = f"… and {len(rows) - MOST_ROWS:,} more {what}; --all shows them"
    return [*rows[: MOST_ROWS - 1], Row(last.cells, [*last.notes, more])]


def _campaigns(rows: Sequence[Mapping[str, Any]], *, every: bool) -> list[Mapping[str, Any]]:
    if every or len(rows) <= MOST_ROWS:
        return list(rows)
    # One row for each campaign over all shops; those that still have jobs come first.
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_name.setdefault(row["campaign"], []).append(row)
    sums = [_sum(name, of_shops) for name, of_shops in by_name.items()]
    return sorted(sums, key=lambda row: row["left"] == 0)


# A sum is unknown as soon as one of its parts is: None in `left` is shown as ?.
def _sum(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    codes: Counter[str] = Counter()
    for row in rows:
        codes.update(row["rejected_by_code"])
    lefts = [row["left"] for row in rows]
    return {
        "campaign": name,
        "shop": rows[0]["shop"] if len(rows) == 1 else f"{len(rows):,} shops",
        "at": rows[0]["shop"] if len(rows) == 1 else EVERY_SHOP,
        **{key: sum(row[key] for row in rows) for key in _SUMMED},
        "rejected_by_code": dict(codes),
        # Of several shops only what is ordered at all of them alike.
        "orders": rows[0]["orders"] if all(row["orders"] == rows[0]["orders"] for row in rows) else None,
        "left": None if None in lefts else sum(lefts),
    }


def _campaign_row(row: Mapping[str, Any]) -> Row:
    """A campaign's row, with notes on the codes of rejections and on the rarer outcomes.

    The columns are few, so that they fit a terminal of 80; the notes have only what is not 0.
    """
    # At least as many were published as have ended; the + marks that some were not counted.
    published = f"{row['published'] + row['uncounted']:,}{'+' if row['uncounted'] else ''}"
    numbers = [published, *(f"{row[name]:,}" for name in ("sent", "rejected")), _number(row["left"])]
    notes = []
    if row["orders"] is not None and not row["orders"]["cancelled"]:
        notes += order_notes(row["orders"], row["campaign"], row.get("at", row["shop"]))
    elif row["orders"] is not None and row["left"] != 0:
        notes.append("cancelled: nobody is called any more, and what is left ends as workers come to it")
    if row["rejected_by_code"]:
        codes = sorted(row["rejected_by_code"].items(), key=lambda item: (-item[1], item[0]))
        notes.append(f"rejected: {', '.join(f'{number:,} {code}' for code, number in codes)}")
    suppressed = {"cancelled": f" ({row['suppressed']:,} of them suppressed)"} if row["suppressed"] else {}
    if rest := [f"{row[name]:,} {name}{suppressed.get(name, '')}" for name in _REST if row[name]]:
        notes.append(f"also: {', '.join(rest)}")
    return Row([row["campaign"], row["shop"], *numbers], notes)


def _shop_row(row: Mapping[str, Any]) -> Row:
    """A shop's row, with notes on why it is closed and on an operator's limit."""
    notes = []
    gate = gate_in(row)
    if gate.note:
        notes.append(f"{gate.note}; {halted_line(row['shop'])}" if gate.gate == "halted" else gate.note)
    if lanes := [f"{row[lane]:,} {words}" for lane, words in _LANES.items() if row[lane]]:
        notes.append(f"of its jobs: {', '.join(lanes)}")
    if row["no_time_left_because"]:
        notes.append(f"time left is not known: {_NO_TIME_LEFT[row['no_time_left_because']]}")
    elif row["held_by_order"]:
        notes.append(f"time left leaves out the held jobs ({row['held_by_order']:,}), which go once somebody lets them")
    if row["reserve"]:
        notes.append(reserve_line(row["shop"], row["reserve"]))
    if row["limit"]:
        notes.append(limit_line(row["shop"], row["limit"]))
    cells = [row["shop"], row["gate"], _number(row["waiting"]), _number(row["in_hand"])]
    cells += [_rate(row["jobs_per_second"]), _rate(row["allowed_per_second"]), _number(row["left_today"])]
    return Row([*cells, _span(row["seconds_to_go"])], notes)


def _totals(shops: Sequence[Mapping[str, Any]]) -> str:
    """One line in place of many shops: how many there are in each state, and how many jobs wait."""
    gates = Counter(shop["gate"] for shop in shops)
    waiting = [shop["waiting"] for shop in shops]
    jobs = f"{sum(waiting):,} jobs wait" if None not in waiting else "the number of waiting jobs is unknown"
    each = ", ".join(f"{number:,} {gate}" for gate, number in gates.most_common())
    return (
        f"{len(shops):,} shops: {each}; {jobs}; the shops that need attention follow, --all or --shop shows the others"
    )


def _foot(report: Mapping[str, Any]) -> list[str]:
    if report["delayed"] is None:
        return []
    elsewhere = f"delayed {report['delayed']:,}, results not yet collected {report['results_waiting']:,}, "
    return [f"{elsewhere}dead {report['dead']:,} (depths from {report['depths_from']})"]


def _number(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _rate(rate: float | None) -> str:
    """A rate with three significant digits below 100; larger and whole ones without a point."""
    return "?" if rate is None else f"{rate:,.0f}" if rate >= 100 or rate == int(rate) else f"{rate:,.3g}"


def _span(seconds: int | None) -> str:
    """A duration as ``h:mm:ss``, or ``days hh:mm`` from a day on; ``-`` if it is unknown."""
    if seconds is None:
        return "-"
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days:,}d {hour:02}:{minute:02}" if days else f"{hour}:{minute:02}:{second:02}"
