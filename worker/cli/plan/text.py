"""A plan as lines for a person: one screen for a usual campaign. Pure."""

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo

from worker.cli.tables import wrapped
from worker.cli.times import moment
from worker.instants import SECOND
from worker.limits.token_bucket import ShopLimits
from worker.model.campaign_orders import CampaignOrder, Hold
from worker.model.orders import pace_text
from worker.planning.circumstances import Shop
from worker.planning.plan import ExportRead, Plan, ShopForecast

MOST_EXPORTS = 3
MOST_REASONS = 7
MOST_SHOPS = 3
MOST_CHANNELS = 3
MOST_CODES = 3
"""Lines of each kind. The rest is one line: a plan is to fit a screen of 24."""

_GAP = "  "
_NARROWEST_REMARK = 20
"""Columns beside a number in which a remark can be read."""

SOONER = 0.02
"""The part of the time by which more workers must be done sooner to be worth a word."""

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def lines_of(plan: Plan, width: int | None, zone: tzinfo | None = None) -> list[str]:
    """The plan's lines, at most ``width`` columns wide. Times are in ``zone`` (None: the machine's) and in UTC."""
    return [line for text in _texts(plan, width, zone) for line in wrapped(text, width, indent="")]


def _texts(plan: Plan, width: int | None, zone: tzinfo | None) -> Iterator[str]:
    # "And 1 more" takes the line that the one would take.
    named = len(plan.exports) if len(plan.exports) == MOST_EXPORTS + 1 else MOST_EXPORTS
    yield from map(_export, plan.exports[:named])
    if rest := plan.exports[named:]:
        yield f"and {len(rest):,} more exports: {_counted(sum(read.rows for read in rest), 'row')}"
    yield from _rows(plan, width)
    over = [f"{customers:,} of {slug} ({jobs:,} jobs)" for slug, (customers, jobs) in plan.over_quota.items()]
    if over:
        yield f"customers with more jobs than their day's calls: {', '.join(over[:MOST_SHOPS])}; the rest waits a day"
    if plan.predicted is not None:
        yield from _predicted(plan.predicted)
    yield from _forecast(plan, zone)


def _export(read: ExportRead) -> str:
    how = [read.preset or "no preset"]
    if read.format != "csv":
        how.append(read.format)
    # A workbook's texts are UTF-8 inside, which nobody who made it in a spreadsheet has chosen.
    if read.format != "xlsx":
        how.append(read.encoding)
    if read.delimiter:
        how.append(_DELIMITERS.get(read.delimiter, read.delimiter))
    return f"{read.name}: {_counted(read.rows, 'row')} ({', '.join(how)})"


def _rows(plan: Plan, width: int | None) -> Iterator[str]:
    left_out = plan.rejected.total()
    names = ["rows read", "done already", *(f"  {reason}" for reason in plan.rejected)]
    named = max(map(len, [*names, *(["on suppression lists"] if plan.suppressed else [])]))

    def line(name: str, number: int, remark: str = "") -> Iterator[str]:
        yield from _beside(f"{name:<{named}}  {number:>{len(f'{plan.rows:,}')},}", remark, width)

    yield from line("rows read", plan.rows)
    if plan.untold:
        yield f"consent ignored (--ignore-consent) for {', '.join(plan.untold[:MOST_EXPORTS])}"
    if plan.suppressed:
        yield from line("on suppression lists", plan.suppressed)
    yield from line("jobs", plan.jobs, _channels(plan.to_call))
    if plan.done_already:
        yield from line("done already", plan.done_already, "not called again")
    if plan.under_way:
        yield from line("under way", plan.under_way, "published before and not called again")
    if left_out:
        yield from line("left out", left_out)
    reasons = plan.rejected.most_common()
    shown = reasons if len(reasons) <= MOST_REASONS else reasons[: MOST_REASONS - 1]
    for reason, number in shown:
        used = named + 2 + len(f"{plan.rows:,}") + 2
        yield from line(f"  {reason}", number, _fitting(plan.examples.get(reason, ()), width, used))
    if len(shown) < len(reasons):
        rest = reasons[len(shown) :]
        yield from line("  other reasons", sum(number for _, number in rest), ", ".join(reason for reason, _ in rest))


def _beside(head: str, remark: str, width: int | None) -> Iterator[str]:
    """A line and its remark, which goes on below its own beginning; below the line where the terminal is narrow."""
    room = width - len(head) - len(_GAP) if width is not None else len(remark)
    if room >= min(_NARROWEST_REMARK, len(remark)):
        first, *more = textwrap.wrap(remark, max(room, 1), break_on_hyphens=False) or [""]
        yield f"{head}{_GAP}{first}".rstrip()
        yield from (f"{' ' * len(head)}{_GAP}{line}" for line in more)
    else:
        yield head
        yield from wrapped(remark, width)


def _fitting(examples: Sequence[str], width: int | None, used: int) -> str:
    """As many examples as fit the line, one at least: a line that breaks is hard to read in a column."""
    text = ""
    for example in examples:
        longer = f"{text}, {example}" if text else example
        if text and width is not None and used + len(longer) > width:
            break
        text = longer
    return text


def _channels(to_call: Counter[tuple[str, str]]) -> str:
    shown = [f"{shop} {channel} {jobs:,}" for (shop, channel), jobs in to_call.most_common(MOST_CHANNELS)]
    rest = len(to_call) - len(shown)
    return ", ".join([*shown, *([f"and {rest:,} more shops and channels"] if rest else [])])


def _predicted(predicted: Mapping[str, int]) -> Iterator[str]:
    codes = Counter(dict(predicted)).most_common()
    for code, number in codes[:MOST_CODES]:
        yield f"predicted {code}: {number:,}"
    if rest := codes[MOST_CODES:]:
        yield f"predicted other codes: {sum(number for _, number in rest):,}"


def _forecast(plan: Plan, zone: tzinfo | None) -> Iterator[str]:
    shops = plan.forecast.shops
    if not shops:
        yield "nothing would be called"
        return
    # The last ones to be done come first: they decide when the campaign is.
    order = sorted(shops, key=lambda slug: -shops[slug].done_at)
    named = len(order) if len(order) == MOST_SHOPS + 1 else MOST_SHOPS
    for slug in order[:named]:
        yield _shop(plan, slug, shops[slug], zone)
    if rest := order[named:]:
        yield f"and {len(rest):,} more shops, done before"
    yield _more(plan)


def _shop(plan: Plan, slug: str, found: ShopForecast, zone: tzinfo | None) -> str:
    shop = plan.shops[slug]
    text = f"{slug}: {_counted(found.jobs, 'job')}"
    if shop.ahead:
        text += f" behind {shop.ahead:,} that are queued"
    began = plan.forecast.began
    took = span((found.done_at - began) / SECOND)
    order = shop.order if shop.order is not None else CampaignOrder()
    held = plan.held(slug)
    first = plan.first.shops.get(slug) if plan.first is not None else None
    if shop.paused is not None:
        text += f", {took} once it is open again; it is {shop.paused}"
    elif order.hold is not None:
        text += f", {took} once the campaign is resumed; it is {_why(order.hold)}"
    elif held and first is not None:
        text += f", the first {first.jobs:,} done in {span((first.done_at - began) / SECOND)}, at "
        text += f"{moment(first.done_at, zone)}; the other {held:,} wait for `referrals campaigns release`, and take "
        text += f"{span((found.done_at - first.done_at) / SECOND)} from then on"
    elif held:
        text += f", which wait for `referrals campaigns release`, and take {took} from then on"
    else:
        text += f", done in {took}, at {moment(found.done_at, zone)}"
        if plan.starts_at > began:
            text += f"; the first call is at {moment(found.starts_at, zone)}"
    if order.paced:
        text += f"; the campaign has at most {pace_text(order.interval, order.per_day)}"
    if found.late:
        text += f"; about {found.late:,} of them end without a call then, by --expires"
    if found.opens_at:
        which = "they" if found.kept == found.jobs else f"{found.kept:,} of them"
        text += f"; {which} wait for their window, which opens at {moment(found.opens_at, zone)}"
    if found.closed:
        text += f"; {_closed(found)} of that is outside of {'their' if found.kept == found.jobs else 'these'} hours"
    if found.days > 1 and plan.starts_at <= began:
        text += f"; over {found.days} days, since {_why_days(shop, found)}"
    return text


def _why(hold: Hold) -> str:
    word = "stopped by its brake" if hold.kind == "brake" else "paused"
    return f"{word} ({hold.reason})" if hold.reason else word


def _closed(found: ShopForecast) -> str:
    return span(sum(end - begin for begin, end in found.closed) / SECOND)


def _why_days(shop: Shop, found: ShopForecast) -> str:
    if shop.calls_per_day < min(found.jobs, shop.limits.shop_per_day):
        return f"the campaign's day has {shop.calls_per_day:,} calls"
    if found.kept and shop.ahead + found.jobs <= shop.limits.shop_per_day:
        return "they are called at certain hours only"
    return f"a day's quota is {shop.limits.shop_per_day:,} calls"


def _more(plan: Plan) -> str:
    """What more workers would change."""
    last = plan.forecast.last
    assert last is not None
    took = plan.forecast.done_at - plan.forecast.began
    late = sum(shop.late for shop in plan.forecast.shops.values())
    if plan.more is not None and late:
        fewer = late - sum(shop.late for shop in plan.more.shops.values())
        if fewer > SOONER * late:
            return f"{plan.more_by}: {fewer:,} more jobs are called in time"
    elif plan.more is not None:
        sooner = plan.forecast.done_at - plan.more.done_at
        if sooner > max(SECOND, SOONER * took):
            return f"{plan.more_by}: done {span(sooner / SECOND)} earlier"
    return f"{plan.more_by} changes nothing: {_bound(plan, last)}"


def _bound(plan: Plan, slug: str) -> str:
    """What decides when the shop is done, if it is not the workers."""
    shop, found = plan.shops[slug], plan.forecast.shops[slug]
    limits = shop.limits
    if shop.order is not None and shop.order.paced:
        return f"the campaign's pace at {slug} is {pace_text(shop.order.interval, shop.order.per_day)}"
    if plan.starts_at > plan.forecast.began:
        return f"it begins at {moment(plan.starts_at)}"
    if found.opens_at:
        return f"{slug} has to wait for its window"
    if plan.forecast.shops[slug].days > 1:
        if slug in plan.over_quota:
            return f"a customer of {slug} may be called {limits.customer_per_day:,} times a day"
        if found.kept and plan.shops[slug].ahead + found.jobs <= limits.shop_per_day:
            return f"{slug} is called at certain hours only"
        return f"{slug}'s limit is {limits.shop_per_day:,} calls a day"
    if plan.forecast.done_at - plan.forecast.began <= SECOND:
        return "it takes a second"
    return f"{slug}'s limit is {_rate(plan, slug, limits)} calls a second"


def _rate(plan: Plan, slug: str, limits: ShopLimits) -> str:
    slowed = plan.shops[slug].slowed
    return f"{SECOND / max(limits.shop.interval, slowed[0] if slowed is not None else 0):,.3g}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what if number == 1 else f'{what}s'}"


def span(seconds: float) -> str:
    """A duration in its two largest units, such as ``1 h 59 min``."""
    left = max(1, round(seconds))
    if left >= 60:
        left = round(left / 60) * 60 if left >= 3600 else left
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    parts: list[tuple[int, str]] = []
    for name, size in units:
        number, left = divmod(left, size)
        if number or parts:
            parts.append((number, name))
    return " ".join(f"{number:,} {name}" for number, name in parts[:2] if number)
