"""What released versions wrote is read: old and new workers, producers and collectors run side by side.

A new schema adds its sample here and leaves the others as they are.
"""

import json

import pytest

from worker.errors import DeadLetterError
from worker.model.dispositions import Finish
from worker.model.job import SCHEMA
from worker.model.message import decode_message
from worker.model.result import Result

MESSAGES = {
    1: (
        b'{"queue_name":"referrals","actor_name":"refer","args":[],"kwargs":{"job":{'
        b'"schema":1,"job_id":"5387ccdbdebf91f2892ba9d96e7d2201","campaign":"spring","shop":"acme","run":0,'
        b'"customer":{"shopid":"1234"},"channel":"whatsapp"}},"options":{},'
        b'"message_id":"5387ccdbdebf91f2892ba9d96e7d2201","message_timestamp":1793577600000}'
    ),
}

RESULTS = {
    1: (
        '{"schema":1,"job_id":"5387ccdbdebf91f2892ba9d96e7d2201","campaign":"spring","shop":"acme","run":0,"line":2,'
        '"reference":null,"customer":{"bhid":null,"shopid":"1234","email":null},"channel":"whatsapp",'
        '"destination":null,"sender":null,"outcome":"sent","code":null,"status":200,"message":null,'
        '"referral":{"link":"https://example.com/r/1"},"share_action":null,"attempts":1,"published_at":null,'
        '"called_at":"2026-11-02T12:00:00Z","finished_at":"2026-11-02T12:00:01Z","latency_seconds":0.2}'
    ),
}


def test_every_schema_has_its_sample() -> None:
    """Whoever raises the schema adds a sample, and keeps reading the ones before."""
    assert list(MESSAGES) == list(RESULTS) == list(range(1, SCHEMA + 1))


@pytest.mark.parametrize("schema", MESSAGES)
def test_a_job_of_every_schema_is_read(schema: int) -> None:
    """A message that waited in a queue over an upgrade is a job with the id that it had."""
    job = decode_message(MESSAGES[schema])
    assert job.job_id == job.expected_id() == "5387ccdbdebf91f2892ba9d96e7d2201"


@pytest.mark.parametrize("schema", RESULTS)
def test_a_result_of_every_schema_is_read(schema: int) -> None:
    """A result that an earlier version recorded in the ledger is published as it is, under its routing key."""
    finish = Finish.recorded(1, RESULTS[schema])
    assert (finish.outcome, finish.code, finish.body) == ("sent", None, RESULTS[schema])
    assert Result.model_validate_json(RESULTS[schema]).job_id == json.loads(RESULTS[schema])["job_id"]


def test_what_is_new_since_is_null() -> None:
    """A field that neither a job nor a result of an earlier version has is none, and no reason to refuse it."""
    assert decode_message(MESSAGES[1]).row is None
    assert Result.model_validate_json(RESULTS[1]).row is None


def test_a_newer_job_is_not_misread() -> None:
    """A job of a schema that is still to come is refused, with a detail that tells to upgrade first."""
    newer = MESSAGES[SCHEMA].replace(b'"schema":%d' % SCHEMA, b'"schema":%d' % (SCHEMA + 1))
    with pytest.raises(DeadLetterError, match=r"newer than .*upgrade the workers") as refused:
        decode_message(newer)
    assert refused.value.reason == "bad_schema"
