"""What the scripts reply, read: from the server's clock to ours, and never trusted to have the right form."""

from dataclasses import replace
from operator import index
from types import TracebackType
from typing import Any

from worker.errors import DamagedOrdersError, StoreError
from worker.model.campaign_orders import Brake, CampaignOrder, Hold
from worker.model.controls import Controls, Pause, RateLimit
from worker.model.lanes import ShopLane
from worker.model.orders import Order
from worker.model.suppression import Suppression, SuppressionList
from worker.store.protocol import AlreadyAnswered, ClosedReason, Grant, Known, Reply, ShopClosed, Wait, WaitScope
from worker.store.redis.keys import CAMPAIGN_ORDERS_KEY, CONTROLS_KEY, LISTS_KEY
from worker.store.shop_state import Closure, ShopState
from worker.store.timing import CLOSURE_OUTLIVES

KNOWN: tuple[Known | None, ...] = (None, "answered", "under_way", "expired", "cancelled")
"""By the numbers of known.lua."""

_SCOPES: dict[int, WaitScope] = {1: "customer", 2: "job", 3: "campaign", 4: "campaign_day"}

ALL_LANES = 2
"""What stands before the lanes' names once RabbitMQ was searched for every kind: see controls.lua."""

_REASONS: dict[int, ClosedReason] = {
    1: "rate",
    2: "day_quota",
    3: "throttled",
    4: "suppression",
    5: "reserve",
    6: "urgent",
}


_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, OverflowError, AssertionError)
"""What reading a reply of the wrong form can raise."""


class _Readable:
    # A class, since every job passes here: one made by `contextmanager` costs a microsecond more.

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, _UNREADABLE):
            raise StoreError(f"the store's answer can't be read: {type(error).__name__}") from error


readable = _Readable()
"""Within it, a reply that can't be read fails as a :class:`StoreError`.

Anyone who can write to the server can put anything under our keys, and scripts pass on what they find.
"""


def read_replies(answer: list[Any], asked_at: int, answered_at: int, batch: int) -> list[Reply]:
    """What ``admit.lua`` replied for each job.

    The server's time lies between our question and its answer. What may not be too early is counted from the answer,
    what may not be too late from the question: a round trip makes a grant shorter, never longer.
    """
    # A slow reply leaves less of a grant's lifetime, or nothing; the grant is then released unused.
    server_now = answer[0]
    latest, earliest = answered_at - server_now, asked_at - server_now
    return [_reply(item, latest, earliest, batch) for item in answer[1:]]


def _reply(item: list[Any], latest: int, earliest: int, batch: int) -> Reply:
    match item:
        case [1, epoch, start_at, start_by, attempts, takeovers, unknowns, elapsed, overtaken, calls, suppressed]:
            return Grant(
                int.from_bytes(epoch),
                start_at + latest,
                start_by + earliest,
                attempts,
                takeovers,
                unknowns,
                elapsed,
                overtaken=bool(overtaken),
                calls_today=calls,
                suppressed=bool(suppressed),
            )
        case [2, until, reason, interval]:
            by_rate = _REASONS[reason] == "rate"
            return ShopClosed(until + latest, _REASONS[reason], batch if by_rate else 1, interval if by_rate else 0)
        case [3, 3, until, place]:
            return Wait("campaign", until + latest, place + latest)
        case [3, scope, until]:
            return Wait(_SCOPES[scope], until + latest)
        # The epoch of such a reply is the request's own, and names no record.
        case [4, _, None]:
            return AlreadyAnswered(epoch=0, result=None)
        case [4, epoch, result]:
            return AlreadyAnswered(int.from_bytes(epoch), result.decode())
        case _:
            raise AssertionError("a script's reply has a form that only another version of it could give")


def read_state(answer: list[Any], at: int) -> ShopState:
    """What ``inspect.lua`` replied; ``at`` is our clock's now.

    Raises:
      StoreError: it can't be read.
    """
    with readable:
        now, interval, blocked_until, calls, urgent, paced, *noted = answer
        ahead = at - now
        closure = None
        if noted:
            until, reason, code = noted
            # The key expires by the millisecond, rounded up; this is exact.
            if now < until + CLOSURE_OUTLIVES:
                closure = Closure(reason.decode(), code.decode(), until + ahead)
        return ShopState(at, interval, blocked_until + ahead if blocked_until else 0, calls, closure, urgent, paced)


def read_controls(answer: list[Any], at: int) -> Controls:
    """What ``watch.lua`` or ``control.lua`` replied; ``at`` is our clock's now.

    Raises:
      DamagedOrdersError: what it is made from can't be read.
      StoreError: it can't be read itself.
    """
    with readable:
        if len(answer) == 2:
            raise DamagedOrdersError([key.decode() for key in answer[1]])
        now, version, pauses, cancelled, limits, latest, suppression, campaigns, *listed = answer
        # Late by a part of the round trip, which is nothing beside the minutes and days that orders last.
        ahead = at - now
    damaged: list[bytes] = []
    found = Controls()
    for key, read in (
        (CONTROLS_KEY, lambda: _orders_of_shops(version, pauses, cancelled, limits, latest, ahead)),
        (LISTS_KEY, lambda: {"suppression": _suppression(*suppression)}),
        (CAMPAIGN_ORDERS_KEY, lambda: _orders_about_campaigns(*campaigns, ahead=ahead)),
    ):
        try:
            found = replace(found, **read())
        except _UNREADABLE:
            damaged.append(key)
    if damaged:
        raise DamagedOrdersError([key.decode() for key in damaged])
    with readable:
        # An order's reply has no lanes: who gives one looks at none.
        all_lanes, lanes = listed[0] if listed else (0, [])
        names = (key.decode() for key in lanes if isinstance(key, bytes))
        known = frozenset(of for name in names if (of := ShopLane.of_key(name)) is not None)
        return replace(found, lanes=known, all_lanes=all_lanes == ALL_LANES)


def _orders_of_shops(
    version: Any, pauses: list[Any], cancelled: list[Any], limits: list[Any], latest: list[Any], ahead: int
) -> dict[str, Any]:
    return {
        "version": index(version),
        "pauses": {shop.decode(): Pause(reason.decode(), since + ahead) for shop, reason, since in pauses},
        "cancelled": {(campaign.decode(), shop.decode()): until + ahead for campaign, shop, until in cancelled},
        "limits": {
            shop.decode(): RateLimit(index(interval), reason.decode(), since + ahead, until + ahead)
            for shop, interval, reason, since, until in limits
        },
        "latest": tuple(_order(entry, ahead) for entry in latest),
    }


def _orders_about_campaigns(campaigns: list[Any], freed: list[Any], *, ahead: int) -> dict[str, Any]:
    return {
        "campaigns": {
            (campaign.decode(), shop.decode()): _campaign_order(fields, ahead) for campaign, shop, *fields in campaigns
        },
        "freed": {shop.decode(): index(since) for shop, since in freed},
    }


def _suppression(number: int, key: bytes, lists: list[Any]) -> Suppression:
    found = {shop.decode(): SuppressionList(index(addresses), index(changed)) for shop, addresses, changed in lists}
    return Suppression(index(number), key, found)


def _campaign_order(fields: list[Any], ahead: int) -> CampaignOrder:
    # A newer version may have added fields to each list.
    hold, rest, interval, per_day, brake, *_ = fields
    return CampaignOrder(_hold(hold, ahead), _hold(rest, ahead), index(interval), index(per_day), _brake(brake, ahead))


def _hold(fields: list[Any] | None, ahead: int) -> Hold | None:
    match fields:
        case None:
            return None
        case [kind, reason, since, until, *_] if until:
            return Hold(kind.decode(), reason.decode(), since + ahead, until + ahead)
        case [kind, reason, since, *_]:
            return Hold(kind.decode(), reason.decode(), since + ahead)
        case _:
            raise AssertionError("a hold of another form")


def _brake(fields: list[Any] | None, ahead: int) -> Brake | None:
    if fields is None:
        return None
    share, window, armed, until, *_ = fields
    return Brake(index(share), index(window), index(armed), until + ahead)


def read_orders(answer: list[Any], at: int) -> list[Order]:
    """What ``orders.lua`` replied; ``at`` is our clock's now.

    Raises:
      StoreError: it can't be read.
    """
    with readable:
        now, entries = answer
        return [_order(entry, at - now) for entry in entries]


def _order(entry: list[Any], ahead: int) -> Order:
    number, *texts = entry
    by, action, shop, campaign, reason, detail = (text.decode() for text in texts)
    # An order's number is the server's time.
    return Order(number, number + ahead, by, action, shop, campaign, reason, detail)


def read_page(answer: list[Any]) -> tuple[bytes, dict[str, dict[str, int]]]:
    """What ``tallied.lua`` replied: the next cursor, and the counters of each campaign of the page.

    Raises:
      StoreError: it can't be read.
    """
    with readable:
        cursor, *page = answer
        counters_of = {}
        for campaign, counters in page:
            pairs = zip(counters[::2], counters[1::2], strict=True)
            counters_of[campaign.decode()] = {counter.decode(): int(number) for counter, number in pairs}
        return cursor, counters_of
