import json
from datetime import timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.making import NOON, make_job, result_text
from worker.instants import SECOND, from_datetime
from worker.model.job import Customer
from worker.model.outcomes import OUTCOMES
from worker.model.result import Result, parse_result
from worker.model.verdicts import Found, Rejected, Sent, Verdict

COLUMNS = (
    "schema job_id campaign shop run line row reference customer channel destination sender window outcome code status "
    "message referral share_action attempts published_at called_at finished_at latency_seconds"
)

WORDS = st.characters(exclude_categories=["Cs"])

OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))

JOB_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "customer": st.builds(Customer, shopid=st.text(WORDS, min_size=1, max_size=9), phone=st.none() | st.text(WORDS)),
    "run": st.integers(0, 3),
    "row": st.none() | st.integers(0, 9),
    "reference": st.none() | st.text(WORDS, max_size=9),
    "published_at": st.none() | st.datetimes(timezones=OFFSETS),
}
"""Of each kind one."""

MESSAGES = st.none() | st.text(WORDS)

ANSWERS = st.one_of(
    st.none(),
    st.builds(
        Sent, st.just(200), st.none() | st.text(WORDS), st.just({"link": "x"}), st.none() | st.lists(st.integers())
    ),
    st.builds(Rejected, st.none() | st.just(404), st.just("invalid_token"), MESSAGES, st.booleans()),
    st.just(Found(200, {"link": "x"})),
)


def test_one_line_with_every_field_in_its_place() -> None:
    """Times are in UTC."""
    text = result_text(Sent(200, "hi", {"link": "x"}, None))
    fields = json.loads(text)
    assert "\n" not in text
    assert list(fields) == COLUMNS.split()
    assert (fields["called_at"], fields["finished_at"]) == ("2026-11-02T11:59:59.750000Z", "2026-11-02T12:00:00Z")
    assert (fields["message"], fields["code"], fields["latency_seconds"]) == ("hi", None, 0.25)


@given(
    st.sampled_from(OUTCOMES),
    ANSWERS,
    st.none() | st.integers(0, NOON),
    st.integers(-SECOND, SECOND),
    st.fixed_dictionaries({}, optional=JOB_FIELDS),
)
def test_is_what_the_model_writes(
    outcome: str, answer: Verdict | Found | None, called_at: int | None, ahead: int, fields: dict[str, Any]
) -> None:
    """Whoever reads it gets every field as it was, and it stands there as pydantic writes it."""
    job = make_job(**fields)
    text = result_text(answer, job=job, outcome=outcome, called_at=called_at, ahead=ahead)
    result = parse_result(text.encode())
    assert result.model_dump(mode="json") == json.loads(text)
    shared = Result.model_fields.keys() & type(job).model_fields.keys()
    assert {name: getattr(result, name) for name in shared} == {name: getattr(job, name) for name in shared}
    assert result.status == (answer.status if answer is not None else None)
    assert from_datetime(result.finished_at) == NOON + ahead


def test_carries_any_answer() -> None:
    """The vendor's objects come out of the JSON as they went in, lone surrogates and big numbers included."""
    referral = {"z": 1, "a": {"\ud800": ["\udfff", 10**30, 0.1, None, True]}, "": {}}
    share_action = [{"text": "hé\u2028\ud83d"}, -0.0]
    text = result_text(Sent(200, "\ud800", referral, share_action))
    fields = json.loads(text)
    assert text.isascii()
    assert fields["referral"] == referral
    assert list(fields["referral"]) == list(referral)
    assert fields["share_action"] == share_action
    assert fields["message"] == "\ud800"
    assert parse_result(text.encode()).referral == referral
