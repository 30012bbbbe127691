"""Which jobs are sent again, and as which run."""

import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.making import PATIENT, foreign_job, make_job, make_result, result_text
from worker.errors import DeadLetterError
from worker.model.job import Customer, Job
from worker.model.outcomes import OUTCOMES, UNCALLED
from worker.model.result import check_result
from worker.results.again import Choice, Chosen, Left, job_again

TOMORROW = datetime(2026, 11, 3, tzinfo=UTC)


def choice(*outcomes: str, codes: Iterable[str] = ()) -> Choice:
    """What is asked for."""
    return Choice(frozenset(outcomes), frozenset(codes))


def chosen(
    results: Iterable[Mapping[str, Any]], asked: Choice, *, cancelled: str = "", limit: int | None = None
) -> tuple[list[Job], dict[Left, int]]:
    """The jobs that are taken of these results, and how many are left out by why."""
    with Chosen(asked, is_cancelled=lambda shop: shop == cancelled, limit=limit) as made:
        for result in results:
            made.add(result, TOMORROW)
        left: Counter[Left] = Counter()
        jobs = [taken.job for taken in made.jobs(left)]
        assert [taken.job for taken in made.jobs()] == jobs
        return jobs, dict(left)


@pytest.mark.parametrize(
    "job",
    [
        make_job(1, row=7, reference="r1", sender="Kim"),
        make_job(2, run=3, channel="email", destination="Bob@Example.com"),
        make_job(3, customer=Customer.model_validate({"shopid": " 007 ", "tier": "gold"})),
        foreign_job(4, customer={"email": "ａｎｎ@example.com"}, channel=" email ", destination="no address"),
    ],
)
def test_it_is_the_job_that_a_replay_of_the_original_makes(job: Job) -> None:
    """Whatever a looser producer wrote: the same fields, the next run, and the id that follows from both."""
    result = check_result(
        job.model_dump(mode="json", exclude={"not_after"})
        | {"outcome": "failed", "attempts": 1, "finished_at": "2026-11-02T12:00:00Z"}
    )
    again = job_again(result, not_after=TOMORROW)
    assert again == job.replay(not_after=TOMORROW)
    assert again.job_id == again.expected_id() != job.job_id


def test_no_field_is_lost_on_the_way() -> None:
    """Through its result, with every field that a job may have; only its deadline is another."""
    job = make_job(
        1,
        line=8,
        row=7,
        reference="r1",
        sender="Kim",
        destination="+43 1 2345",
        window="Mon-Fri 09:00-18:00 Europe/Vienna",
        published_at=TOMORROW,
        not_after=TOMORROW,
    )
    assert all(getattr(job, name) is not None for name in Job.model_fields)
    ended = result_text(job=job, outcome="failed", code="http_503", called_at=None)
    again = job_again(check_result(json.loads(ended)), not_after=TOMORROW)
    assert again == job.replay(not_after=TOMORROW)


def test_a_window_that_this_machine_can_not_read() -> None:
    """Its time zone is too new, or somebody has changed it: the job is left out and counted."""
    result = make_result(1, "failed") | {"window": "09:00-18:00 Mars/Base"}
    assert chosen([result], choice("failed")) == ([], {"unfit": 1})


@pytest.mark.parametrize("outcome", sorted(UNCALLED))
def test_a_job_that_was_not_called_stays_the_same_job(outcome: str) -> None:
    """Its export may be published again, and under two ids it would then be called twice."""
    job = make_job(1, run=2)
    again = job_again(check_result(make_result(1, outcome, run=2)), not_after=None)
    assert (again.job_id, again.run, again.not_after) == (job.job_id, 2, None)


def test_there_is_no_run_after_the_last() -> None:
    """Such a job is left out and counted."""
    result = make_result(1, "failed", run=2**53 - 1)
    with pytest.raises(DeadLetterError):
        job_again(check_result(result), not_after=None)
    assert chosen([result], choice("failed")) == ([], {"unfit": 1})


RESULTS = [
    make_result(1, "failed", code="http_503"),
    make_result(2, "failed", code="unanswered"),
    make_result(3, "rejected", code="http_503"),
    make_result(4, "unknown", code="timeout"),
    make_result(5, "sent"),
    make_result(6, "expired"),
]


@pytest.mark.parametrize(
    ("asked", "lines", "left"),
    [
        (choice("failed"), [1, 2], {}),
        (choice("failed", "expired"), [1, 2, 6], {}),
        (choice(codes=["http_503"]), [1, 3], {}),
        (choice("failed", codes=["http_503", "timeout"]), [1], {}),
        (choice(codes=["http_503", "timeout"]), [1, 3], {"unknown": 1}),
        (choice("unknown", codes=["timeout"]), [4], {}),
        (choice("unknown", "rejected"), [3, 4], {}),
        (choice("sent"), [], {}),
    ],
)
def test_what_is_asked_for(asked: Choice, lines: list[int], left: dict[Left, int]) -> None:
    """By outcome, by code or by both; a job that may have been sent only by its name."""
    jobs, why = chosen(RESULTS, asked)
    assert ([job.line for job in jobs], why) == (lines, left)


@pytest.mark.parametrize(
    ("runs", "run", "left"),
    [
        (["failed"], 1, {}),
        (["failed", "failed"], 2, {}),
        (["failed", "sent"], None, {}),
        (["failed", "rejected"], None, {}),
        (["rejected", "failed"], 2, {}),
        (["sent", "failed"], None, {"sent": 1}),
        (["unknown", "failed"], None, {"unknown": 1}),
        (["failed", "unknown"], None, {}),
        (["failed", "cancelled"], None, {}),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_only_the_latest_run_counts(runs: list[str], run: int | None, left: dict[Left, int], order: int) -> None:
    """In whatever order the results stand; and a job that any run has sent, or may have, is not sent again."""
    results = [make_result(1, outcome, run=number) for number, outcome in enumerate(runs)]
    jobs, why = chosen(results[::order], choice("failed"))
    assert ([job.run for job in jobs], why) == ([] if run is None else [run], left)


def test_a_campaign_that_is_cancelled_in_a_shop() -> None:
    """Its jobs would end without a call, so they are left out."""
    results = [make_result(number, "failed", shop=shop) for number, shop in enumerate(["acme", "bolt"])]
    jobs, why = chosen(results, choice("failed"), cancelled="bolt")
    assert ([job.shop for job in jobs], why) == (["acme"], {"cancelled": 1})


def test_at_most_so_many() -> None:
    """The same ones each time."""
    results = [make_result(number, "failed") for number in range(9)]
    assert [job.line for job in chosen(results, choice("failed"), limit=3)[0]] == [0, 1, 2]


@given(
    st.lists(st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=4), max_size=4),
    st.sets(st.sampled_from([outcome for outcome in OUTCOMES if outcome != "sent"]), min_size=1),
    st.randoms(use_true_random=False),
)
@PATIENT
def test_nobody_is_written_to_twice(histories: list[list[str]], outcomes: set[str], chance: random.Random) -> None:
    """Whatever the runs of some jobs came to: taken is each whose latest run is asked for, once, unless it was sent."""
    results = [
        make_result(number, outcome, run=run)
        for number, history in enumerate(histories)
        for run, outcome in enumerate(history)
    ]
    chance.shuffle(results)
    jobs, _ = chosen(results, choice(*outcomes))
    expected = {
        make_job(number, run=len(history) - (history[-1] in UNCALLED)).job_id
        for number, history in enumerate(histories)
        if history[-1] in outcomes and "sent" not in history and ("unknown" not in history or "unknown" in outcomes)
    }
    assert len(jobs) == len(expected)
    assert {job.job_id for job in jobs} == expected
