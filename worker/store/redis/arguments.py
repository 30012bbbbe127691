"""What ``admit.lua`` is asked, packed: the one script that runs for every job more than once."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from worker.model.controls import EVERY_SHOP
from worker.model.names import campaign_key
from worker.store.protocol import AdmitRequest
from worker.store.redis.keys import customer_key, member, pace_key, prefix, record_key, shop_key, token
from worker.store.timing import GRANT_LIFETIME, LEASE_MARGIN, NO_DEADLINE, turn_of

_INTEGERS = struct.Struct(">22q")
"""One argument in place of 22: each costs the client, the server and the script a conversion."""

_PLACE = struct.Struct(">Bq")
"""Which of a question's campaigns that have a pace is the job's, and its place in that one's line."""

_PACE = struct.Struct(">2q")

_NO_PLACE = -(1 << 62)


class AdmitCall(NamedTuple):
    """One run of the script, for some jobs of one shop. ``batch`` is what a process that is turned away should come
    back for: what its turn can find, and one more, whose refusal gives it the next turn in the same round trip.
    """

    keys: list[bytes]
    arguments: list[Any]
    lease: int
    batch: int


def admit_call(
    requests: Sequence[AdmitRequest],
    epochs: Sequence[int],
    now: int,
    *,
    turn: bool,
    holds: int,
    period: int,
    horizon: int,
    keep: int,
    listed: Mapping[str, int],
    address_key: bytes,
) -> AdmitCall:
    """Ask for these jobs under these epochs. ``now`` is our clock's: what depends on it goes as a duration.

    ``listed`` has the numbers of the latest changes known of the lists of suppressed addresses, ``address_key`` is
    the fingerprint of the key by which the requests' addresses are hashed.
    """
    first = requests[0]
    shop, limits, lease = first.shop, first.limits, first.lease + LEASE_MARGIN
    # By the file's pace; the script takes the present one where that is slower.
    step = turn_of(limits.shop.interval, holds)
    # By the jobs that are left: a turn of all of them had 10 shops on 200 processes get 76 % in place of 98 %.
    left = holds - len(requests)
    next_step = turn_of(limits.shop.interval, left) if turn and left > 0 else 0
    # Numbered from 1: most questions have none.
    paces = {campaign_key(request.campaign): request.pace for request in requests if request.pace is not None}
    keys = [shop_key(shop)]
    arguments: list[Any] = [
        prefix(shop),
        _INTEGERS.pack(
            period,
            horizon,
            GRANT_LIFETIME,
            lease,
            keep,
            turn,
            limits.shop.interval,
            limits.shop.burst,
            limits.shop_per_day,
            limits.customer.interval,
            limits.customer.burst,
            limits.customer_per_day,
            limits.resets_at,
            step,
            next_step,
            limits.adapts,
            first.urgent,
            limits.reserve,
            limits.reserve_per_day,
            listed.get(shop, 0),
            listed.get(EVERY_SHOP, 0),
            len(paces),
        ),
        address_key,
    ]
    # A job without a customer sends a customer's key too, so that each job has two keys; the script leaves it alone.
    for request, epoch in zip(requests, epochs, strict=True):
        keys += [customer_key(shop, request.customer), record_key(shop, request.job_id)]
        arguments += [member(request.job_id), token(epoch), _place(request, now), _deadline(request)]
        arguments += (*request.addresses, b"", b"")[:2]
    if paces:
        numbers = {campaign: number for number, campaign in enumerate(paces, start=1)}
        keys += [pace_key(shop, campaign) for campaign in paces]
        places = (
            _PLACE.pack(0, 0)
            if request.pace is None
            else _PLACE.pack(
                numbers[campaign_key(request.campaign)],
                _NO_PLACE if request.pace.place is None else request.pace.place - now,
            )
            for request in requests
        )
        arguments.append(b"".join(places))
        arguments += [_PACE.pack(pace.interval, pace.per_day) for pace in paces.values()]
    return AdmitCall(keys, arguments, lease, step // limits.shop.interval + 1)


def _deadline(request: AdmitRequest) -> int:
    # A campaign is cancelled for every copy, whatever its deadline.
    return NO_DEADLINE if request.uncalled == "cancelled" else request.deadline


def _place(request: AdmitRequest, now: int) -> int | bytes:
    if request.uncalled:
        return b"uncalled"
    if not request.customer:
        return b"nobody"
    # From now on, since a place is an instant of our clock and the server compares it with its own.
    return b"none" if request.place_in_line is None else request.place_in_line - now
