"""What ``scripts/bench`` takes for an argument, and what its ``limits`` makes of the API's record of its calls."""

import pytest

from scripts.programs.benchmarks.__main__ import BENCHMARKS, _parser
from scripts.programs.benchmarks.passage import PER_SECOND, QUIET_JOBS, QUIET_SHOPS, judged
from scripts.programs.benchmarks.stamps import most_within
from worker.instants import SECOND

SHOPS = [f"quiet-{number}" for number in range(QUIET_SHOPS)] + ["busy"]
EVERY = SECOND // PER_SECOND


def quiet(at: int) -> list[dict[str, object]]:
    """The quiet shops' calls, all at one instant."""
    return [{"shop": shop, "arrived_at": at, "status": 200} for shop in SHOPS[:-1] for _ in range(QUIET_JOBS)]


def busy(count: int, *, every: int = EVERY) -> list[dict[str, object]]:
    """The busy shop's calls, from the beginning on."""
    return [{"shop": "busy", "arrived_at": number * every, "status": 200} for number in range(count)]


def test_the_most_in_a_window_is_counted_wherever_the_window_begins() -> None:
    """A window has its first instant, and not its last."""
    assert most_within([], 10) == 0
    assert most_within([20, 0, 9, 10, 18], 10) == 3
    assert most_within([0, 10, 20], 10) == 1


def test_a_call_in_each_interval_uses_the_whole_quota() -> None:
    """From the first call to the last; calls at half the pace use half of it."""
    assert judged(busy(41) + quiet(SECOND), SHOPS, 41, (0, 9 * SECOND), 0).used == pytest.approx(1)
    assert judged(busy(41, every=2 * EVERY) + quiet(SECOND), SHOPS, 41, (0, 9 * SECOND), 0).used == pytest.approx(0.5)


def test_a_shop_that_is_not_done_has_used_its_quota_until_the_end() -> None:
    """Its last call says nothing of the time that it would still have needed."""
    assert judged(busy(21) + quiet(0), SHOPS, 41, (0, 4 * SECOND), 20).used == pytest.approx(0.25)


def test_refused_calls_and_delays_are_the_apis_trouble() -> None:
    """A refused call is none that was carried out; a delayed one is carried out after its delay."""
    calls = busy(21) + quiet(0)
    calls[20]["delayed_seconds"] = 1.0
    calls.append({"shop": "busy", "arrived_at": 0, "status": 429})
    found = judged(calls, SHOPS, 21, (0, 9 * SECOND), 0)
    assert (found.refused, found.most) == (1, PER_SECOND + 1)
    assert found.used == pytest.approx(0.5)
    assert found.held == pytest.approx(1 / len(calls))
    assert found.calls_a_job == pytest.approx(len(calls) / (len(calls) - 1))


def test_a_quiet_job_that_is_not_called_waits_until_the_end() -> None:
    """Its wait runs from when it was sent."""
    calls = busy(21) + quiet(3 * SECOND)[1:]
    found = judged(calls, SHOPS, 21, (SECOND, 9 * SECOND), 1)
    assert sorted(found.quiet) == [2.0] * (QUIET_SHOPS * QUIET_JOBS - 1) + [8.0]


def test_the_help_sets_each_name_apart_from_its_title() -> None:
    """The longest name too."""
    help_text = _parser().format_help()
    assert all(f"  {one.name}  " in help_text and f"  {one.title}\n" in help_text for one in BENCHMARKS)


def test_an_unknown_name_is_refused_and_none_is_fine(capsys: pytest.CaptureFixture[str]) -> None:
    """Otherwise a misspelt one would measure nothing and seem to have worked."""
    assert _parser().parse_args([]).names == []
    with pytest.raises(SystemExit):
        _parser().parse_args(["peer"])
    assert "there is no benchmark 'peer', only peers, " in capsys.readouterr().err
