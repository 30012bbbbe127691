"""Several copies of one job with different deadlines, on either store: what each may do at each state of the job.

The table of docs/messages.md, a test for each cell: who is first doesn't decide for the others.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.integration.store.worlds import RESULT, RedisWorld, World, advance, finish, flush
from tests.unit.making import LEASE, NOON, go, make_request
from worker.instants import DAY, SECOND
from worker.store.protocol import AdmitRequest, AlreadyAnswered, Grant, Store, Wait
from worker.store.timing import GRANT_LIFETIME, LEASE_MARGIN, UNKNOWN_DEADLINE

WHOLE_LEASE = GRANT_LIFETIME + LEASE + LEASE_MARGIN
UNCALLED = '{"outcome":"expired","sender":"Zoë"}'

WANTED = make_request()
"""A copy without a deadline."""

EXPIRED = replace(make_request(), uncalled="expired", deadline=NOON - SECOND)
"""A copy whose deadline was over before."""

CANCELLED = replace(make_request(), uncalled="cancelled")
"""A copy that meets a worker which takes its campaign for cancelled."""


def dated(seconds: int, *, over: bool = False) -> AdmitRequest:
    """A copy with a deadline so many seconds from noon; ``over``: its worker takes it for expired."""
    return replace(make_request(), deadline=NOON + seconds * SECOND, uncalled="expired" if over else None)


def end(store: Store, request: AdmitRequest = EXPIRED) -> None:
    """Take a copy through to its end without a call."""
    assert request.uncalled is not None
    grant = go(store, request)
    assert store.answer(request, grant.epoch, f'{{"outcome":"{request.uncalled}"}}')
    store.settle(request, grant.epoch, request.uncalled)
    flush(store)


def none(world: World) -> None:
    del world


def started(world: World) -> None:
    go(world.store, WANTED)


def abandoned(world: World) -> None:
    go(world.store, WANTED)
    advance(world, WHOLE_LEASE)


def retried(world: World) -> None:
    world.store.retry(WANTED, go(world.store, WANTED).epoch, NOON + SECOND)


def due(world: World) -> None:
    retried(world)
    advance(world, SECOND)


def due_and_unknown(world: World) -> None:
    world.store.retry(WANTED, go(world.store, WANTED).epoch, NOON, unknown=True)


def answered(world: World) -> None:
    assert world.store.answer(WANTED, go(world.store, WANTED).epoch, RESULT)


def done(world: World) -> None:
    finish(world.store, WANTED)


def ending(world: World) -> None:
    go(world.store, EXPIRED)


def abandoned_ending(world: World) -> None:
    go(world.store, EXPIRED)
    advance(world, WHOLE_LEASE)


def answered_uncalled(world: World) -> None:
    assert world.store.answer(EXPIRED, go(world.store, EXPIRED).epoch, UNCALLED)


def uncalled(world: World) -> None:
    end(world.store)


def undone(world: World) -> None:
    end(world.store, CANCELLED)


REPEATED = AlreadyAnswered(0, None)

CELLS: list[tuple[Callable[[World], None], object, object]] = [
    (none, "granted", "granted"),
    (started, Wait("job", NOON + WHOLE_LEASE), Wait("job", NOON + WHOLE_LEASE)),
    (abandoned, "granted", REPEATED),
    (retried, Wait("job", NOON + SECOND), Wait("job", NOON + SECOND)),
    (due, "granted", REPEATED),
    (due_and_unknown, "granted", REPEATED),
    (answered, RESULT, RESULT),
    (done, REPEATED, REPEATED),
    (ending, Wait("job", NOON + WHOLE_LEASE), Wait("job", NOON + WHOLE_LEASE)),
    (abandoned_ending, "granted", "granted"),
    (answered_uncalled, "granted", UNCALLED),
    (uncalled, "granted", REPEATED),
    (undone, "granted", REPEATED),
]
"""The state in which another copy has left the job, then what a wanted and an expired copy get."""


def told(store: Store, request: AdmitRequest) -> object:
    """What the store answers a copy, in the words of the table."""
    reply = store.admit(request)
    if isinstance(reply, Grant):
        return "granted"
    return reply.result if isinstance(reply, AlreadyAnswered) and reply.result is not None else reply


@pytest.mark.parametrize(("state", "wanted", "expired"), CELLS, ids=[cell[0].__name__ for cell in CELLS])
def test_each_cell(world: World, state: Callable[[World], None], wanted: object, expired: object) -> None:
    """A wanted copy and an expired one each get what the table says, whatever another copy did before."""
    state(world)
    assert told(world.store, WANTED) == wanted
    world.renew()
    world.set(NOON)
    state(world)
    assert told(world.store, EXPIRED) == expired


@pytest.mark.parametrize("first", [EXPIRED, CANCELLED], ids=["expired", "cancelled"])
def test_an_end_without_a_call_is_not_final(world: World, first: AdmitRequest) -> None:
    """A job that expired, or was cancelled and is no longer, is called like a new one, once, and then it is done."""
    store = world.store
    end(store, first)
    grant = go(store, WANTED)
    assert (grant.attempts, grant.takeovers, grant.unknowns) == (1, 0, 0)
    assert store.answer(WANTED, grant.epoch, RESULT)
    store.settle(WANTED, grant.epoch, "sent")
    flush(store)
    for copy in (WANTED, EXPIRED, CANCELLED, dated(60)):
        assert store.admit(copy) == REPEATED
    assert not store.answer(EXPIRED, 7, UNCALLED), "nothing is recorded over a final answer"


def test_called_on_another_day(world: World) -> None:
    """A job that ended without a call on one day and was sent on another is done, and stays so."""
    store = world.renew(retention=4 * DAY)
    end(store)
    advance(world, 2 * DAY)
    finish(store, WANTED)
    advance(world, DAY)
    assert store.admit(WANTED) == REPEATED
    assert store.known([("acme", WANTED.job_id)]) == ["answered"]


def test_a_recorded_end_is_overtaken(world: World) -> None:
    """A copy that is to be called takes over from one whose end without a call is not published yet; both count."""
    store = world.store
    ended = go(store, EXPIRED)
    assert store.answer(EXPIRED, ended.epoch, UNCALLED)
    called = go(store, WANTED)
    assert (called.attempts, called.unknowns) == (1, 0)
    store.settle(replace(EXPIRED, campaign="spring"), ended.epoch, "expired")
    flush(store)
    assert isinstance(store.admit(EXPIRED), Wait), "the later grant stands"
    assert store.answer(WANTED, called.epoch, RESULT)
    store.settle(replace(WANTED, campaign="spring"), called.epoch, "sent")
    flush(store)
    assert store.tallies("acme")["spring"] == {"expired": 1, "sent": 1}
    assert store.admit(EXPIRED) == REPEATED


@pytest.mark.parametrize(
    "text", ["", "x", "[]", "7", '{"outcome":7}', '{"a":{"outcome":"expired"}}', '{"x":"\\ud800"}']
)
def test_an_unreadable_result_is_final(world: World, text: str) -> None:
    """What can't be read as an end without a call is handed out as it is: nobody is called twice for it."""
    grant = go(world.store, WANTED)
    assert world.store.answer(WANTED, grant.epoch, text)
    assert world.store.admit(WANTED) == AlreadyAnswered(grant.epoch, text)


def test_a_lost_call_is_not_given_up(world: World) -> None:
    """A copy that expired leaves alone what another one without a deadline has begun; that one is called again."""
    store = world.store
    go(store, WANTED)
    advance(world, WHOLE_LEASE)
    assert store.admit(EXPIRED) == REPEATED
    again = go(store, WANTED)
    assert (again.attempts, again.unknowns) == (2, 1)


def test_the_latest_deadline_counts(world: World) -> None:
    """Of copies that were granted a call the one with the latest deadline may end the job, granted last or not."""
    store = world.store
    store.retry(dated(60), go(store, dated(60)).epoch, NOON)
    store.retry(dated(30), go(store, dated(30)).epoch, NOON)
    assert store.admit(dated(30, over=True)) == REPEATED
    assert isinstance(store.admit(dated(60, over=True)), Grant)


def test_a_copy_that_may_vanish_holds_up_no_other(world: World) -> None:
    """A copy that was granted a call, and that nobody can rely on to come again, leaves the end to the others."""
    dated_copy, vanishing = dated(1), replace(WANTED, deadline=UNKNOWN_DEADLINE)
    world.store.retry(dated_copy, go(world.store, dated_copy).epoch, NOON, unknown=True)
    world.store.release(vanishing, go(world.store, vanishing).epoch, called=True)
    assert isinstance(world.store.admit(dated(1, over=True)), Grant)


def test_a_copy_that_may_vanish_ends_what_is_its_own(world: World) -> None:
    """Where no other copy was granted a call, it ends the job itself."""
    vanishing = replace(WANTED, deadline=UNKNOWN_DEADLINE)
    world.store.retry(vanishing, go(world.store, vanishing).epoch, NOON)
    assert isinstance(world.store.admit(replace(vanishing, uncalled="expired")), Grant)


def test_deadlines_are_no_instants(world: World) -> None:
    """A copy is ended by its own deadline though the store's clock is far behind it: nobody else would end it."""
    store = world.store
    store.retry(dated(60), go(store, dated(60)).epoch, NOON)
    assert isinstance(store.admit(dated(60, over=True)), Grant)


def test_a_grant_to_end_changes_no_deadline(world: World) -> None:
    """A cancellation that is undone before it took effect leaves a job that its own copy can still end."""
    store = world.store
    store.retry(dated(60), go(store, dated(60)).epoch, NOON)
    store.release(CANCELLED, go(store, CANCELLED).epoch, called=False)
    assert isinstance(store.admit(dated(60, over=True)), Grant)


def test_a_release_keeps_the_deadline(world: World) -> None:
    """An unused grant of a copy without a deadline is undone, and what it wants stays known."""
    store = world.store
    store.retry(dated(60), go(store, dated(60)).epoch, NOON)
    store.release(WANTED, go(store, WANTED).epoch, called=False)
    assert store.admit(dated(60, over=True)) == REPEATED


def test_who_ends_it_calls_nobody(world: World) -> None:
    """A worker that died while it ended a job without a call leaves no call of unknown outcome behind."""
    store = world.store
    go(store, EXPIRED)
    advance(world, WHOLE_LEASE)
    again = go(store, EXPIRED)
    assert (again.takeovers, again.unknowns) == (1, 0)
    advance(world, WHOLE_LEASE)
    called = go(store, WANTED)
    assert (called.takeovers, called.unknowns) == (2, 0)
    advance(world, WHOLE_LEASE)
    assert go(store, WANTED).unknowns == 1


def test_a_cancellation_is_for_every_copy(world: World) -> None:
    """A job that is being tried is ended by a cancellation, whatever its deadline."""
    due(world)
    assert isinstance(world.store.admit(CANCELLED), Grant)


def test_what_the_ledger_knows(world: World) -> None:
    """A look-up returns what is known of each job, in the order asked, of many shops at once; changes nothing."""
    store = world.store
    requests = {number: make_request(number) for number in range(1, 7)}
    other = make_request(8, shop="other")
    finish(store, requests[1])
    end(store, replace(requests[2], uncalled="expired"))
    end(store, replace(requests[3], uncalled="cancelled"))
    go(store, requests[4])
    grant = go(store, requests[5])
    store.answer(requests[5], grant.epoch, UNCALLED)
    for _ in range(2):
        asked = [("acme", request.job_id) for request in requests.values()]
        known = store.known([*asked, ("other", other.job_id)])
        assert known == ["answered", "expired", "cancelled", "under_way", "expired", None, None]
    store.answer(other, go(store, other).epoch, RESULT)
    assert store.known([("other", other.job_id), ("acme", requests[6].job_id)]) == ["answered", None]
    assert store.known([]) == []


def test_a_look_up_after_a_month(world: World) -> None:
    """A job is found for as long as the ledger keeps it."""
    finish(world.store, make_request(1))
    end(world.store, replace(make_request(2), uncalled="expired"))
    advance(world, 30 * DAY)
    assert world.store.known([("acme", make_request(number).job_id) for number in (1, 2)]) == ["answered", "expired"]


def test_a_look_up_of_many(world: World) -> None:
    """However many jobs are looked up, each has its own answer."""
    number_of = {number: 0x9E3779B97F4A7C15F39CC0605CEDC834 * number % (1 << 128) for number in range(1, 1801)}
    for number in range(1, 601):
        finish(world.store, make_request(number_of[number]))
    for number in range(601, 1201):
        end(world.store, replace(make_request(number_of[number]), uncalled="expired"))
    known = world.store.known([("acme", f"{number:032x}") for number in number_of.values()])
    assert known == ["answered"] * 600 + ["expired"] * 600 + [None] * 600


def test_records_of_an_older_worker(shared: RedisWorld) -> None:
    """A record that names no deadline, as older workers write it, holds up neither a live copy nor an expired one."""
    key = b"rd:{acme}:j:" + WANTED.job_id[8:].encode()
    for state in (abandoned, due):
        for copy in (EXPIRED, WANTED):
            shared.renew()
            shared.set(NOON)
            state(shared)
            record = shared.client.get(key)
            shared.client.set(key, record[: {b"S": 57, b"W": 37}[record[:1]]])
            assert isinstance(shared.store.admit(copy), Grant)
