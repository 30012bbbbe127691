"""The ledger's promises, on either store: who may call, who may record, and what is remembered."""

from dataclasses import replace
from typing import Literal, cast

import pytest

from tests.integration.store.worlds import RESULT, World, advance, finish
from tests.unit.making import LEASE, NOON, go, make_request
from worker.instants import DAY, SECOND
from worker.model.outcomes import OUTCOMES, UNCALLED, Outcome
from worker.store.protocol import AlreadyAnswered, Grant, Wait
from worker.store.timing import GRANT_LIFETIME, LEASE_MARGIN

WHOLE_LEASE = GRANT_LIFETIME + LEASE + LEASE_MARGIN


def test_grant(world: World) -> None:
    """A new job is granted at once, for a quarter of a second, as its first attempt."""
    grant = go(world.store, make_request())
    assert grant == Grant(grant.epoch, NOON, NOON + GRANT_LIFETIME, attempts=1, takeovers=0)


def test_a_copy_waits_for_a_live_lease(world: World) -> None:
    """A copy of a job under way waits until the lease ends, to the microsecond."""
    store = world.store
    go(store, make_request())
    assert store.admit(make_request()) == Wait("job", NOON + WHOLE_LEASE)
    advance(world, WHOLE_LEASE - 1)
    assert store.admit(make_request()) == Wait("job", NOON + WHOLE_LEASE)
    advance(world, 1)
    assert go(store, make_request()).takeovers == 1


def test_takeovers_count_attempts(world: World) -> None:
    """Each takeover is an attempt with an epoch of its own, since the call may have been made."""
    store = world.store
    grants = []
    for _ in range(3):
        grants.append(go(store, make_request()))
        advance(world, WHOLE_LEASE)
    assert [(grant.attempts, grant.takeovers) for grant in grants] == [(1, 0), (2, 1), (3, 2)]
    assert len({grant.epoch for grant in grants}) == 3


def test_answer_then_settle(world: World) -> None:
    """An answered job hands out its result, a settled one only that it is done."""
    store = world.store
    grant = go(store, make_request())
    assert store.answer(make_request(), grant.epoch, RESULT)
    assert store.admit(make_request()) == AlreadyAnswered(grant.epoch, RESULT)
    store.settle(make_request(), grant.epoch, "sent")
    assert store.admit(make_request()) == AlreadyAnswered(0, None)


def test_an_answer_has_no_lease(world: World) -> None:
    """However long the result waits for its publication, nobody calls again."""
    store = world.store
    grant = go(store, make_request())
    store.answer(make_request(), grant.epoch, RESULT)
    advance(world, 10 * DAY)
    assert store.admit(make_request()) == AlreadyAnswered(grant.epoch, RESULT)


def test_retry(world: World) -> None:
    """A job to be repeated waits for its time, and the next attempt is counted."""
    store = world.store
    grant = go(store, make_request())
    assert store.retry(make_request(), grant.epoch, NOON + SECOND)
    assert store.admit(make_request()) == Wait("job", NOON + SECOND)
    advance(world, SECOND)
    second = go(store, make_request())
    assert (second.attempts, second.takeovers) == (2, 0)


def test_unknowns_are_counted(world: World) -> None:
    """Calls that may have been carried out stay on record through repeats, releases and takeovers."""
    store, request = world.store, make_request()
    store.retry(request, go(store, request).epoch, NOON, unknown=True)
    second = go(store, request)
    assert (second.attempts, second.takeovers, second.unknowns) == (2, 0, 1)
    store.release(request, second.epoch, called=False)
    advance(world, SECOND)
    third = go(store, request)
    assert (third.attempts, third.unknowns) == (2, 1)
    advance(world, WHOLE_LEASE)
    fourth = go(store, request)
    assert (fourth.attempts, fourth.takeovers, fourth.unknowns) == (3, 1, 2)
    store.retry(request, fourth.epoch, NOON)
    assert go(store, request).unknowns == 2


def test_a_repeat_that_spends_nothing(world: World) -> None:
    """A call that doesn't count leaves the job with the attempts it had, and is forgotten by none of the records."""
    store, request = world.store, make_request()
    store.retry(request, go(store, request).epoch, NOON, unknown=True, spent=False)
    again = go(store, request)
    assert (again.attempts, again.unknowns) == (1, 1)
    store.release(request, again.epoch, called=True)
    assert go(store, request).unknowns == 1


def test_verified(world: World) -> None:
    """Once none of the earlier calls turns out to have been carried out, what remains is a plain repeat."""
    store, request = world.store, make_request()
    go(store, request)
    advance(world, WHOLE_LEASE)
    store.release(request, go(store, request).epoch, called=False, verified=True)
    again = go(store, request)
    assert (again.attempts, again.takeovers, again.unknowns) == (2, 1, 0)
    advance(world, WHOLE_LEASE)
    late = go(store, request)
    advance(world, WHOLE_LEASE)
    go(store, request)
    store.release(request, late.epoch, called=False, verified=True)
    advance(world, WHOLE_LEASE)
    assert go(store, request).unknowns == 3, "a worker that was overtaken has verified nothing"


def test_elapsed(world: World) -> None:
    """For how long a job has been tried stays on record through repeats, releases and takeovers."""
    store, request = world.store, make_request()
    first = go(store, request)
    assert first.elapsed == 0
    store.retry(request, first.epoch, NOON, elapsed=7 * SECOND)
    second = go(store, request)
    assert second.elapsed == 7 * SECOND
    store.release(request, second.epoch, called=True)
    assert go(store, request).elapsed == 7 * SECOND
    advance(world, WHOLE_LEASE)
    third = go(store, request)
    assert third.elapsed == 7 * SECOND
    store = world.renew()
    assert store.retry(request, third.epoch, NOON, elapsed=9 * SECOND)
    assert go(store, request).elapsed == 9 * SECOND


def test_takeovers_survive_a_retry(world: World) -> None:
    """A repeat doesn't hide that earlier calls were never answered."""
    store = world.store
    go(store, make_request())
    advance(world, WHOLE_LEASE)
    store.retry(make_request(), go(store, make_request()).epoch, NOON)
    third = go(store, make_request())
    assert (third.attempts, third.takeovers) == (3, 1)


@pytest.mark.parametrize("called", [True, False])
def test_release_undoes_the_attempt(world: World, called: bool) -> None:
    """A released grant leaves the job as it was before: first at none, later at its earlier attempts."""
    store = world.store
    store.release(make_request(), go(store, make_request()).epoch, called=called)
    first = go(store, make_request())
    assert (first.attempts, first.takeovers) == (1, 0)
    advance(world, WHOLE_LEASE)
    store.release(make_request(), go(store, make_request()).epoch, called=called)
    third = go(store, make_request())
    assert (third.attempts, third.takeovers) == (2, 1)


def test_release_by_a_fenced_worker(world: World) -> None:
    """A worker that was overtaken, or has answered, undoes nothing by a late release."""
    store = world.store
    old = go(store, make_request())
    advance(world, WHOLE_LEASE)
    new = go(store, make_request())
    store.release(make_request(), old.epoch, called=False)
    assert isinstance(store.admit(make_request()), Wait)
    store.answer(make_request(), new.epoch, RESULT)
    store.release(make_request(), new.epoch, called=False)
    assert store.admit(make_request()) == AlreadyAnswered(new.epoch, RESULT)


def test_overtaken_workers_are_fenced(world: World) -> None:
    """After a takeover the earlier epoch records neither an answer nor a repeat nor an end."""
    store = world.store
    old = go(store, make_request())
    advance(world, WHOLE_LEASE)
    new = go(store, make_request())
    assert not store.answer(make_request(), old.epoch, RESULT)
    assert not store.retry(make_request(), old.epoch, NOON)
    store.settle(make_request(), old.epoch, "sent")
    assert isinstance(store.admit(make_request()), Wait)
    assert store.answer(make_request(), new.epoch, RESULT)
    assert not store.answer(make_request(), old.epoch, "{}")
    store.settle(make_request(), old.epoch, "failed")
    assert store.admit(make_request()) == AlreadyAnswered(new.epoch, RESULT)
    store.settle(make_request(), new.epoch, "sent")
    assert not store.answer(make_request(), old.epoch, "{}")
    assert not store.retry(make_request(), new.epoch, NOON)
    assert store.admit(make_request()) == AlreadyAnswered(0, None)


def test_fenced_by_a_repeat(world: World) -> None:
    """Once a repeat is recorded, the epoch that asked for it is over."""
    store = world.store
    grant = go(store, make_request())
    store.retry(make_request(), grant.epoch, NOON)
    assert not store.answer(make_request(), grant.epoch, RESULT)
    assert not store.retry(make_request(), grant.epoch, NOON)


def test_settle_without_a_record(world: World) -> None:
    """Settling what nobody knows changes nothing: the job is not taken for done."""
    store = world.store
    store.settle(make_request(), 1, "sent")
    assert isinstance(store.admit(make_request()), Grant)


def test_a_lost_record_takes_the_answer(world: World) -> None:
    """A store that lost its data keeps the answer to a call that was made before, and a repeat counts on."""
    earlier = go(world.store, make_request())
    store = world.renew()
    assert store.answer(make_request(), earlier.epoch, RESULT)
    assert store.admit(make_request()) == AlreadyAnswered(earlier.epoch, RESULT)
    store = world.renew()
    assert store.retry(make_request(), earlier.epoch, NOON)
    assert go(store, make_request()).attempts == 2


def test_an_answer_or_repeat_of_a_finished_job(world: World) -> None:
    """What is done stays done: nothing is recorded over it, whatever epoch comes late."""
    store = world.store
    finish(store, make_request())
    assert not store.answer(make_request(), 7, "{}")
    assert not store.retry(make_request(), 7, NOON)
    store.release(make_request(), 7, called=False)
    assert store.admit(make_request()) == AlreadyAnswered(0, None)


def test_epochs_are_unique(world: World) -> None:
    """No two grants of a job share an epoch, also when the first one was undone within the same microsecond."""
    store, epochs = world.store, set()
    for _ in range(50):
        grant = go(store, make_request())
        epochs.add(grant.epoch)
        store.release(make_request(), grant.epoch, called=False)
    assert len(epochs) == 50


@pytest.mark.parametrize("result", ["", "{}", "S" * 9, '{"name":"Zoë \\u0000 \\n","x":"\x00\n%d"}', "é" * 40_000])
def test_a_result_comes_back_as_it_was(world: World, result: str) -> None:
    """Whatever a result's text holds, it is handed out unchanged."""
    grant = go(world.store, make_request())
    assert world.store.answer(make_request(), grant.epoch, result)
    assert world.store.admit(make_request()) == AlreadyAnswered(grant.epoch, result)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_done_is_remembered_for_the_retention(world: World, outcome: Outcome) -> None:
    """A finished job is known for the whole retention, whatever its outcome, and forgotten after one and a half."""
    store = world.renew(retention=4 * DAY)
    # Of a job that ended without a call only a copy that would end so too takes notice.
    uncalled = cast("Literal['expired', 'cancelled'] | None", outcome if outcome in UNCALLED else None)
    first, second, third = (replace(make_request(number), uncalled=uncalled) for number in (1, 2, 3))
    finish(store, first, outcome)
    advance(world, 4 * DAY)
    assert store.admit(first) == AlreadyAnswered(0, None)
    finish(store, second, outcome)
    advance(world, 2 * DAY)
    finish(store, third, outcome)
    assert isinstance(store.admit(first), Grant)
    assert store.admit(second) == AlreadyAnswered(0, None)


def test_done_survives_a_step_back_of_the_clock(world: World) -> None:
    """A job that was finished just after midnight, or a period's begin, is known when the clock goes back over it."""
    store = world.renew(retention=2 * DAY)
    world.set(NOON + DAY // 2)
    finish(store, make_request())
    advance(world, -SECOND)
    assert store.admit(make_request()) == AlreadyAnswered(0, None)


def test_many_finished_jobs(world: World) -> None:
    """However many jobs of a shop are done, each of them is known and no other."""
    store = world.store
    number_of = {number: 0x9E3779B97F4A7C15F39CC0605CEDC834 * number % (1 << 128) for number in range(1, 1001)}
    for number in range(1, 901):
        finish(store, make_request(number_of[number]))
    assert all(store.admit(make_request(number_of[number])) == AlreadyAnswered(0, None) for number in range(1, 901))
    assert all(isinstance(store.admit(make_request(number_of[number])), Grant) for number in range(901, 1001))
