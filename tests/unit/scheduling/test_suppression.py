"""Nobody is called while the lists of suppressed addresses can't be relied on."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.making import NOON
from worker.clock import ManualClock
from worker.model.suppression import NO_KEY, UNFINISHED, Suppression, Unusable
from worker.scheduling.gate import Gate
from worker.scheduling.suppression import SuppressionGuard
from worker.store.memory.store import MemoryStore
from worker.store.timing import CLOSED_WORKER_KEPT

OURS = b"our key."


@pytest.fixture
def gate() -> Gate[Any]:
    """A gate to look at."""
    return Gate(threads=1, max_aside=1)


def is_closed(gate: Gate[Any]) -> bool:
    """Whether the guard has closed it."""
    return "suppression" in gate.closed


def test_opens_once_the_store_has_all_changes_of_the_journal(gate: Gate[Any]) -> None:
    """A process that starts knows by the journal alone what there was."""
    guard = SuppressionGuard(gate, MemoryStore(ManualClock(NOON)), OURS)
    guard.journal_has(3)
    # No call starts before the store has answered, so nothing is said until then.
    assert not is_closed(gate)
    guard.store_has(Suppression(2, OURS), 0)
    assert is_closed(gate)
    guard.store_has(Suppression(3, OURS), 0)
    assert not is_closed(gate)


def test_remembers_what_it_has_heard_of(gate: Gate[Any]) -> None:
    """Also where the journal is shorter: RabbitMQ may have lost its own."""
    guard = SuppressionGuard(gate, MemoryStore(ManualClock(NOON)), OURS)
    guard.store_has(Suppression(5, OURS), 0)
    guard.store_has(Suppression(), 0)
    assert is_closed(gate)
    guard.journal_has(1)
    assert is_closed(gate)
    guard.store_has(Suppression(6, OURS), 0)
    assert not is_closed(gate)


@pytest.mark.parametrize("key", [b"another.", UNFINISHED])
@pytest.mark.parametrize("ours", [OURS, NO_KEY])
def test_closes_beside_lists_of_another_key(gate: Gate[Any], ours: bytes, key: bytes) -> None:
    """By our key everybody on them would look like somebody else; lists that are being restored have nobody's."""
    guard = SuppressionGuard(gate, MemoryStore(ManualClock(NOON)), ours)
    guard.store_has(Suppression(1, key), 0)
    assert is_closed(gate)


@pytest.mark.parametrize(
    ("known", "ours", "problem", "says"),
    [
        (Suppression(1, OURS), NO_KEY, "no_key", "REFERRALS_SUPPRESSION_KEY is unset; set it"),
        (Suppression(1, OURS), b"another.", "other_key", "REFERRALS_SUPPRESSION_KEY is not the key by which"),
        (Suppression(1, UNFINISHED), OURS, "unfinished", "`referrals suppress restore` completes it"),
        (Suppression(0, OURS), OURS, "lost", "`referrals suppress restore` brings them back"),
    ],
)
def test_says_what_is_wrong(
    gate: Gate[Any],
    known: Suppression,
    ours: bytes,
    problem: Unusable,
    says: str,
) -> None:
    """In the log, and in the store for commands: whoever forgot the key looks for another fault than who mistook it."""
    clock = ManualClock(NOON)
    store = MemoryStore(clock)
    guard = SuppressionGuard(gate, store, ours)
    guard.journal_has(1)
    assert str(guard.problem) == "unknown"
    guard.tell()
    assert store.closed_workers() == {}
    with capture_logs() as logs:
        guard.store_has(known, 0)
    assert [(entry["reason"], says in entry["problem"]) for entry in logs] == [(problem, True)]
    assert str(guard.problem) == problem
    guard.tell()
    assert list(store.closed_workers().values()) == [problem]
    assert guard.lacks_key == problem.endswith("key")
    guard.store_has(Suppression(1, ours), 0)
    assert guard.problem is None
    clock.advance(CLOSED_WORKER_KEPT)
    guard.tell()
    assert store.closed_workers() == {}


def test_needs_no_key_where_nobody_is_suppressed(gate: Gate[Any]) -> None:
    """An installation that has no such lists needs none."""
    guard = SuppressionGuard(gate, MemoryStore(ManualClock(NOON)), NO_KEY)
    guard.journal_has(0)
    guard.store_has(Suppression(), 0)
    assert not is_closed(gate)


def test_calls_nobody_after_a_doubt_until_the_journal_is_known(gate: Gate[Any]) -> None:
    """What was asked before the latest doubt tells nothing of what was added, and lost, since."""
    guard = SuppressionGuard(gate, MemoryStore(ManualClock(NOON)), OURS)
    guard.store_has(Suppression(), 0)
    assert not guard.follow(0)
    assert guard.follow(1)
    assert not guard.follow(1)
    assert (guard.doubted, str(guard.problem), is_closed(gate)) == (1, "unknown", True)
    assert guard.follow(2)
    guard.journal_has(0, 1)
    guard.journal_has(0)
    guard.store_has(Suppression(), 2)
    assert (guard.doubted, is_closed(gate)) == (2, True)
    with capture_logs() as logs:
        guard.journal_has(0, 2)
    assert (guard.doubted, guard.problem, is_closed(gate)) == (None, None, False)
    assert not logs, "every new connection would be told"


def test_misses_a_first_change_that_it_has_not_heard_of(gate: Gate[Any]) -> None:
    """The store was lost before; a doubt amid that changes nothing, and the end is told."""
    guard = SuppressionGuard(gate, MemoryStore(ManualClock(NOON)), OURS)
    guard.store_has(Suppression(), 0)
    guard.follow(1)
    guard.store_has(Suppression(), 1)
    guard.journal_has(1, 1)
    assert (guard.problem, is_closed(gate)) == ("lost", True)
    with capture_logs() as logs:
        guard.follow(2)
        guard.store_has(Suppression(1, OURS), 2)
        assert is_closed(gate)
        guard.journal_has(1, 2)
    assert [entry["event"] for entry in logs] == ["suppression_usable"]
    assert not is_closed(gate)


def test_a_doubt_at_the_start_is_one(gate: Gate[Any]) -> None:
    """The store's first answer comes over its first connection."""
    guard = SuppressionGuard(gate, MemoryStore(ManualClock(NOON)), OURS)
    guard.follow(1)
    guard.store_has(Suppression(), 1)
    assert is_closed(gate)
    guard.journal_has(0, 1)
    assert not is_closed(gate)


@pytest.mark.parametrize("has", [0, 4])
def test_calls_nobody_by_what_the_store_had_before_a_doubt(gate: Gate[Any], has: int) -> None:
    """A worker that has heard of all changes, as the journal has them: the store may have lost them since."""
    guard = SuppressionGuard(gate, MemoryStore(ManualClock(NOON)), OURS)
    guard.store_has(Suppression(3, OURS), 0)
    guard.follow(1)
    with capture_logs() as logs:
        # Also where a change was made that it has not heard of: nothing is lost by that.
        guard.journal_has(4 if has else 3, 1)
        guard.store_has(Suppression(3, OURS), 0)
    assert (str(guard.problem), is_closed(gate), logs) == ("unknown", True, [])
    guard.store_has(Suppression(has, OURS), 1)
    assert (guard.problem, is_closed(gate)) == ((None, False) if has else ("lost", True))
