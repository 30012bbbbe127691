"""Nobody is called while the lists of suppressed addresses can't be relied on."""

import pytest

from worker.model.suppression import NO_KEY, UNFINISHED, Suppression
from worker.scheduling.gate import Gate
from worker.scheduling.suppression import SuppressionGuard

OURS = b"our key."


@pytest.fixture
def gate() -> Gate[object]:  # type: ignore[type-var]  # no job is put in
    """A gate to look at."""
    return Gate(threads=1, max_aside=1)


def is_closed(gate: Gate[object]) -> bool:  # type: ignore[type-var]  # the same
    """Whether the guard has closed it."""
    return "suppression" in gate.closed


def test_opens_once_the_store_has_all_changes_of_the_journal(gate: Gate[object]) -> None:  # type: ignore[type-var]
    """A process that starts knows by the journal alone what there was."""
    guard = SuppressionGuard(gate, OURS)
    guard.journal_has(3)
    # No call starts before the store has answered, so nothing is said until then.
    assert not is_closed(gate)
    guard.store_has(Suppression(2, OURS))
    assert is_closed(gate)
    guard.store_has(Suppression(3, OURS))
    assert not is_closed(gate)


def test_remembers_what_it_has_heard_of(gate: Gate[object]) -> None:  # type: ignore[type-var]
    """Also where the journal is shorter: RabbitMQ may have lost its own."""
    guard = SuppressionGuard(gate, OURS)
    guard.store_has(Suppression(5, OURS))
    guard.store_has(Suppression())
    assert is_closed(gate)
    guard.journal_has(1)
    assert is_closed(gate)
    guard.store_has(Suppression(6, OURS))
    assert not is_closed(gate)


@pytest.mark.parametrize("key", [b"another.", UNFINISHED])
@pytest.mark.parametrize("ours", [OURS, NO_KEY])
def test_closes_beside_lists_of_another_key(gate: Gate[object], ours: bytes, key: bytes) -> None:  # type: ignore[type-var]
    """By our key everybody on them would look like somebody else; lists that are being restored have nobody's."""
    guard = SuppressionGuard(gate, ours)
    guard.store_has(Suppression(1, key))
    assert is_closed(gate)


@pytest.mark.parametrize(("ours", "problem"), [(NO_KEY, "is unset; set it"), (b"another.", "is not the key by which")])
def test_says_what_is_wrong_with_the_key(
    gate: Gate[object],  # type: ignore[type-var]
    ours: bytes,
    problem: str,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whoever forgot it looks for another fault than whoever mistook it."""
    SuppressionGuard(gate, ours).store_has(Suppression(1, OURS))
    assert f"REFERRALS_SUPPRESSION_KEY {problem}" in caplog.text + capsys.readouterr().out


def test_needs_no_key_where_nobody_is_suppressed(gate: Gate[object]) -> None:  # type: ignore[type-var]
    """An installation that has no such lists needs none."""
    guard = SuppressionGuard(gate, NO_KEY)
    guard.journal_has(0)
    guard.store_has(Suppression())
    assert not is_closed(gate)
