"""The fault suite's judge, on histories whose verdict is known."""

from hypothesis import given
from hypothesis import strategies as st

from tests.faults.checker import CLOCKS_DIFFER, SECOND, called_after_the_end, check, overrun


def test_a_job_whose_confirm_was_never_heard_may_end_well() -> None:
    """It counts as recovered, neither as lost nor as unexpected."""
    verdict = check({"1": False, "2": True}, ["1", "2"], ["1", "2"], [])

    assert len(verdict.ok) == 2
    assert verdict.recovered == {"1"}
    assert verdict.valid


def test_each_way_to_break_the_promise_is_told() -> None:
    """A confirmed job without an end is lost, one from nowhere unexpected, one called twice duplicated."""
    verdict = check({"a": False, "b": True, "c": True}, ["w", "c", "c"], ["w", "c", "c"], [])

    assert verdict.lost == {"b"}
    assert verdict.unexpected == {"w"}
    assert verdict.duplicated == {"c"}
    assert verdict.acknowledged == {"b", "c"}
    assert verdict.ok == {"c"}
    assert verdict.repeats == 1
    assert not verdict.valid


def test_nothing_at_all_is_valid() -> None:
    """An empty history breaks no promise."""
    assert check({}, [], [], []).valid


def test_the_dead_queue_is_an_end() -> None:
    """A job that was parked is not lost."""
    verdict = check({"a": True, "b": True}, ["a"], ["a"], ["b"])

    assert verdict.ok == {"a", "b"}
    assert verdict.valid


def test_a_second_result_is_no_second_call() -> None:
    """Consumers drop repeated results; only calls count as repeats."""
    assert check({"a": True}, ["a"], ["a", "a"], []).duplicated == frozenset()


def test_a_call_for_a_job_that_nobody_published_is_unexpected() -> None:
    """Whatever became of it."""
    assert check({"a": True}, ["a", "x"], ["a"], []).unexpected == {"x"}


def test_a_wanted_job_does_not_end_without_its_call() -> None:
    """That another copy of it expired is no end; a final result is, or the dead queue."""
    published = {"a": True, "b": True, "c": True}
    verdict = check(published, ["a"], ["a"], ["c"], uncalled=["a", "b", "c"], wanted=published)

    assert verdict.lost == {"b"}
    assert not verdict.contradicted


def test_an_unwanted_job_ends_without_a_call() -> None:
    """Then its result tells so, and no other one and no call tells otherwise."""
    published = dict.fromkeys("abcd", True)
    verdict = check(published, ["b"], ["c"], [], uncalled=["a", "b", "c", "x"])

    assert verdict.lost == {"d"}
    assert verdict.contradicted == {"b", "c"}
    assert verdict.unexpected == {"x"}
    assert check({"a": True}, [], [], [], uncalled=["a"]).valid
    assert not check({"a": True}, ["a"], [], [], uncalled=["a"]).valid


@given(st.dictionaries(st.sampled_from("abcdef"), st.booleans()), st.lists(st.sampled_from("abcdefgh")))
def test_every_confirmed_job_is_ok_or_lost(published: dict[str, bool], ended: list[str]) -> None:
    """Never both, never neither; and recovered ones are those that ended unconfirmed."""
    verdict = check(published, ended, ended, [])

    assert (verdict.ok - verdict.recovered) | verdict.lost == verdict.acknowledged
    assert not verdict.ok & verdict.lost
    assert verdict.repeats == sum(ended.count(job) - 1 for job in set(ended) & published.keys())


def test_a_call_after_a_jobs_end_is_told() -> None:
    """A repeat before the first result is for a fault to account for; one after it is never due, but for the clocks."""
    end = 30
    near = end + CLOCKS_DIFFER
    ended = {"a": end, "b": end, "c": end, "e": end}
    calls = [("a", 10), ("a", 20), ("b", 10), ("b", near + 1), ("d", 10), ("d", 90), ("e", 10), ("e", near)]

    assert called_after_the_end(calls, ended) == {"b"}


def test_a_jobs_only_call_is_never_after_its_end() -> None:
    """A worker whose clock is late writes an end before the call."""
    assert called_after_the_end([("a", 90)], {"a": 30}) == frozenset()


def test_calls_within_a_bucket_are_no_overrun() -> None:
    """A burst and then the pace is what a limit allows."""
    arrivals = [0] * 5 + [(number + 1) * SECOND // 10 for number in range(50)]

    assert overrun(arrivals, per_second=10, burst=5) == 0


def test_an_overrun_is_counted_in_calls() -> None:
    """Two bursts at one instant go beyond the limit by one of them, wherever the window lies."""
    paced = [number * SECOND for number in range(10)]

    assert overrun(paced + [5 * SECOND] * 9, per_second=10, burst=5) == 5
