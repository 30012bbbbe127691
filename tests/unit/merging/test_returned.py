"""What came back for a job: the latest run's result, and the values of share actions by column."""

from typing import Any

import pytest

from tests.unit.making import make_result
from worker.merging.returned import ReturnedResults
from worker.merging.share_actions import MOST, SharePaths


def result(run: int = 0, outcome: str = "sent", **more: Any) -> dict[str, Any]:
    """A result of one customer's job, as JSON has it."""
    return make_result(1, outcome, run=run, **more)


JOB = result()["job_id"]


@pytest.mark.parametrize("order", [1, -1])
def test_the_latest_run_counts(order: int) -> None:
    """A replay is another run of the same job: its result is the row's, in whatever order they are read."""
    links = [result(run, referral={"link": f"https://x.test/{run}"}) for run in (0, 1, 2)]
    with ReturnedResults() as returned:
        returned.take(links[::order])
        found = returned.of(JOB)
        assert found is not None
        assert found.link == "https://x.test/2"
        assert returned.of("0" * 32) is None


@pytest.mark.parametrize(
    ("runs", "counting"),
    [
        (["failed", "rejected"], 1),
        (["failed", "sent"], 1),
        (["sent", "rejected"], 0),
        (["sent", "failed", "expired", "cancelled", "unknown"], 0),
        (["sent", "failed", "sent", "failed"], 2),
        (["unknown", "rejected"], 1),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_a_run_that_was_sent_counts_before_later_ones(runs: list[str], counting: int, order: int) -> None:
    """A customer who has got a link keeps it in the export, as `replay` never sends such a job again."""
    results = [result(run, outcome, message=str(run)) for run, outcome in enumerate(runs)]
    with ReturnedResults() as returned:
        returned.take(results[::order])
        found = returned.of(JOB)
        assert found is not None
        assert (found.outcome, found.message) == (runs[counting], str(counting))


def test_what_is_told() -> None:
    """Link, status, time and message are the vendor's; what is no text where one belongs is nothing."""
    referral = {"link": "https://x.test/a", "status": "invited", "sent_at": "2026-09-01T00:00:00Z"}
    odd = result(1, code="odd", referral={"link": ["x"], "status": 1}, message="Ça\n")
    with ReturnedResults() as returned:
        returned.take([result(referral=referral, message="Ça\n", share_action={"url": "https://x.test"})])
        assert returned.of(JOB) == (
            "sent",
            None,
            "https://x.test/a",
            "invited",
            "Ça\n",
            "2026-09-01T00:00:00Z",
            ["https://x.test"],
            False,
        )
        returned.take([odd])
        assert returned.of(JOB) == ("sent", "odd", None, None, "Ça\n", None, [], False)
        assert (returned.jobs, dict(returned.shops), dict(returned.ids)) == (2, {"acme": 2}, {"email": 2})


def test_a_long_answer_comes_back_whole() -> None:
    """A text that is longer than what is read at first is read on."""
    with ReturnedResults() as returned:
        returned.take([result(message="x" * 100_000), result(1, message="y" * 5000)])
        found = returned.of(JOB)
        assert found is not None
        assert found.message == "y" * 5000


def test_share_actions_make_columns() -> None:
    """Each value has a column under its path, also within lists; null makes none."""
    paths = SharePaths()
    assert paths.values({"type": "open", "data": {"url": "u", "n": [1, {"b": True}]}, "no": None}) == [
        "open",
        "u",
        1,
        True,
    ]
    assert paths.values({"data": {"url": "v"}}) == [None, "v"]
    assert paths.values(None) == []
    assert paths.values("plain") == [None, None, None, None, "plain"]
    assert list(paths.names) == [
        "share_action.type",
        "share_action.data.url",
        "share_action.data.n.0",
        "share_action.data.n.1.b",
        "share_action",
    ]


def test_share_actions_make_a_bounded_number_of_columns() -> None:
    """Data as keys doesn't make a column for every row; what has none is counted."""
    paths = SharePaths()
    for number in range(MOST + 10):
        paths.values({str(number): 1})
    paths.values({"x" * 1000: 1})
    assert (len(paths.names), paths.more) == (MOST, 11)


@pytest.mark.parametrize("key", ["a\nb", "a\0", "a\u202eb", "\ud800", "\x1b[31m"])
def test_a_name_that_cannot_be_seen_makes_no_column(key: str) -> None:
    """A header with a line end or a NUL in it would break whoever reads the file."""
    paths = SharePaths()
    assert paths.values({key: 1, "url": "u"}) == ["u"]
    assert (list(paths.names), paths.more) == (["share_action.url"], 1)
