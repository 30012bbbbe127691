"""The pauses between attempts to connect."""

from worker.backoff import Backoff


def test_pauses_double_up_to_the_longest_and_are_spread() -> None:
    """Each pause lies between half and all of its bound; the bounds double, and begin anew after a success."""
    backoff = Backoff(0.5, 15.0)
    for _ in range(2):
        for bound in (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0):
            assert bound / 2 <= backoff.next() <= bound
        backoff.reset()


def test_two_processes_do_not_wait_alike() -> None:
    """A fleet that lost its broker in one instant comes back at different ones."""
    assert len({Backoff(1.0, 1.0).next() for _ in range(20)}) > 10
