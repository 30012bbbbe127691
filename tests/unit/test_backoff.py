"""The pauses between attempts that failed."""

from worker.backoff import Backoff, doubling_pause


def test_a_pause_doubles_with_each_failure_up_to_the_longest() -> None:
    """The first failure waits the first pause, the rest twice as long each, in whatever unit the bounds have."""
    assert [doubling_pause(failures, 5, 60) for failures in range(1, 7)] == [5, 10, 20, 40, 60, 60]
    assert [doubling_pause(failures, 0.5, 3.0) for failures in range(1, 5)] == [0.5, 1.0, 2.0, 3.0]


def test_a_thousand_failures_in_a_row_still_make_a_pause() -> None:
    """A server that is gone for weeks overflows nothing."""
    assert doubling_pause(1_000_000, 0.2, 15.0) == 15.0


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
