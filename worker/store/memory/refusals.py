"""Why a call may not start yet: the shop is closed, it is another process's turn, or the job must wait.

Each answer that gives out a turn or a place in line leaves it with what it was asked about. Times are the store's
steady ones, in microseconds; ``reset`` is when the quota day ends.
"""

from worker.limits.reserve import BULK_WAITS, beside_bulk, bulk_opens_at, kept_of_day
from worker.limits.token_bucket import Rate, ShopLimits, earliest
from worker.store.memory.scopes import Bucket, Shop, next_place
from worker.store.protocol import ShopClosed, Wait
from worker.store.timing import FARTHEST_PLACE, turn_of


def shop_refusal(shop: Shop, now: int, per_day: int, day: int, reset: int) -> ShopClosed | None:
    """Why the shop is closed to every process: the provider's block, or a day's quota that is used up."""
    if shop.blocked_until > now:
        return ShopClosed(shop.blocked_until, "throttled")
    if shop.day == day and shop.calls >= per_day:
        return ShopClosed(reset, "day_quota")
    return None


def reserve_refusal(shop: Shop, now: int, limits: ShopLimits, day: int, reset: int) -> ShopClosed | None:
    """Why bulk must leave what remains of the day to urgent jobs; None if it need not."""
    calls, urgent = (shop.calls, shop.urgent_calls) if shop.day == day else (0, 0)
    remaining = limits.shop_per_day - calls
    if remaining > kept_of_day(limits.reserve_per_day, urgent, reset - now):
        return None
    return ShopClosed(max(now + 1, bulk_opens_at(limits.reserve_per_day, remaining, reset)), "reserve")


def urgent_refusal(shop: Shop, due: int, now: int, rate: Rate, ahead_by: int) -> ShopClosed | None:
    """Until when no urgent job may ask; None where one may go at ``due``, at most ``ahead_by`` from now."""
    # Somebody of bulk is to come back, or was a moment ago: it gets every fifth call.
    if shop.last_given + BULK_WAITS > now:
        beside = beside_bulk(rate)
        turn = earliest(shop.urgent_tat, now, beside)
        if turn > now:
            # An instant for each process, as of `turn_away`.
            shop.urgent_given = max(shop.urgent_given + beside.interval, turn)
            return ShopClosed(shop.urgent_given, "urgent")
    return ShopClosed(due - ahead_by, "urgent") if due > now + ahead_by else None


def turn_away(shop: Shop, due: int, now: int, rate: Rate, horizon: int, holds: int) -> ShopClosed:
    """Send a process away that has come before its turn, with an instant of its own to come back at.

    If all came back at once, all but one came in vain. With horizon 0 there is one process, and it comes at ``due``.
    """
    if not horizon:
        shop.last_given = due
        return ShopClosed(due, "rate", interval=rate.interval)
    step = turn_of(rate.interval, holds)
    shop.last_given = max(shop.last_given + step, due - horizon // 2, now + 1)
    return ShopClosed(shop.last_given, "rate", step // rate.interval + 1, rate.interval)


def customer_refusal(
    customer: Bucket, due: int, now: int, place: int | None, interval: int, horizon: int, reset: int | None
) -> int | None:
    """Until when the job must wait for its customer; None for not at all.

    ``due`` is when the customer's bucket has a token. ``place`` is the job's place in line, None for a newcomer.
    ``reset`` is when the day ends whose quota is used up, None while it is not.
    """
    if customer.blocked_until > now:
        return next_place(customer, customer.blocked_until, interval)
    if reset is not None:
        # A place after the reset, not the reset itself: there all would come at one instant, again and again.
        return place if place is not None and place >= reset else next_place(customer, reset, interval)
    if place is None and customer.last_given > now:
        # Others have places in line. A newcomer that took their token would send them to the end.
        return next_place(customer, due, interval)
    if due > now + horizon:
        # Jobs that come back late, from behind others in their queue, all missed their places. At one instant they
        # would come back together again and again, 28 times each of 300. They get new places.
        on_time = place is not None and now <= place + interval
        return due if on_time else next_place(customer, due, interval)
    return None


def campaign_refusal(
    campaign: Bucket, due: int, now: int, place: int | None, interval: int, horizon: int, reset: int | None
) -> Wait | None:
    """How the job must wait for its campaign's pace; None for not at all. Arguments as of :func:`customer_refusal`."""
    if reset is not None:
        return Wait("campaign_day", reset)
    behind = place is None and campaign.last_given > now
    if not behind and due <= now + horizon:
        return None
    on_time = place is not None and now <= place + interval
    given = due if on_time else max(campaign.last_given + interval, due)
    if given > now + FARTHEST_PLACE:
        # Whoever had this place might be gone by then, and the token with it.
        return Wait("campaign", given - FARTHEST_PLACE)
    if not on_time:
        campaign.last_given = given
    # It asks ahead of its place, so that what it needs of its shop is there in time.
    return Wait("campaign", max(now, given - horizon), given)
