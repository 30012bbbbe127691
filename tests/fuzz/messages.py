"""What comes over RabbitMQ: jobs, results, dead letters."""

import csv
import io
import json
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, get_args

from tests.fuzz.headers import content_header
from tests.fuzz.promises import shown, told
from tests.fuzz.target import Target, folder, parts
from tests.unit.making import result_text
from worker.cli.collect.file import FileDestination
from worker.cli.dead.republish import message_of
from worker.cli.dead.view import cell_of, row_of, whole_of
from worker.errors import DeadLetterError, DeadReason
from worker.model.job import is_expired
from worker.model.message import decode_message, encode_message
from worker.model.result import parse_result
from worker.rabbitmq.dead_letters import DeadLetter
from worker.rabbitmq.properties import is_unambiguous
from worker.rabbitmq.topology import RESULTS
from worker.results.file import Format, ResultsFile
from worker.results.index import ResultIndex
from worker.results.rows import COLUMNS
from worker.text.bounds import LARGEST_INTEGER

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


def message(data: bytes) -> None:
    """A job is refused with a reason, or it is one: it can be published, replayed and become a result."""
    try:
        job = decode_message(data)
    except DeadLetterError as error:
        told(error)
        _reasoned(error)
        return
    assert job.expected_id() == job.job_id
    body = encode_message(job, published_at_ms=0)
    again = decode_message(body)
    assert again == job
    assert encode_message(again, published_at_ms=0) == body
    if job.run < LARGEST_INTEGER:
        replayed = job.replay(not_after=None)
        assert replayed.run == job.run + 1
        assert decode_message(encode_message(replayed, published_at_ms=0)) == replayed
    is_expired(job, 0)
    text = result_text(job=job)
    assert json.loads(text)["job_id"] == job.job_id
    _collected(text.encode(), known=True)


def _reasoned(error: DeadLetterError) -> None:
    assert error.reason in get_args(DeadReason)


_SHARED = (
    "job_id",
    "campaign",
    "shop",
    "run",
    "line",
    "row",
    "reference",
    "customer",
    "channel",
    "destination",
    "sender",
    "published_at",
)


def result(data: bytes) -> None:
    """A result is moved aside, or it becomes one row, which is read back as the same job when collecting goes on."""
    _collected(data, known=False)


def _collected(body: bytes, *, known: bool) -> None:
    forms: tuple[Format, ...] = ("csv", "jsonl")
    for form in forms:
        with folder() as place:
            path = place / f"results.{form}"
            with ResultIndex() as seen, closing(FileDestination(path, ResultsFile(path, form), seen)) as first:
                refused = first.take([(1, body), (2, body)])
                assert refused in ([], [1, 2])
                assert not (known and refused)
                rows = 0 if refused else 1
                assert first.tally.outcomes.total() == first.tally.repeated == rows
            assert len(_rows(path.read_bytes().decode(), form)) == rows
            with ResultIndex() as seen, closing(FileDestination(path, ResultsFile(path, form), seen)) as again:
                assert again.summary()[1]["results_rows"] == rows
                again.take([(1, body)])
                assert again.tally.repeated == rows
                assert again.tally.outcomes.total() == 0


def _rows(text: str, form: Format) -> list[Any]:
    if form == "jsonl":
        return [json.loads(line) for line in text.split("\n")[:-1]]
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[0] == list(COLUMNS)
    assert all(len(row) == len(COLUMNS) for row in rows)
    # None that a spreadsheet would compute.
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for row in rows for cell in row)
    return rows[1:]


def letter(data: bytes) -> None:
    """A dead letter can be looked at, whatever it holds: in a list, whole, and for whether it can be replayed."""
    exchange, key, table, body = parts(data, 4)
    properties = content_header(b"\x20\x00" + len(table).to_bytes(4) + table).properties
    one = DeadLetter(
        tag=1,
        exchange=exchange.decode(errors="replace"),
        routing_key=key.decode(errors="replace"),
        headers=properties.headers or {},
        clear=is_unambiguous(properties),
        body=body,
    )
    assert isinstance(one.reason, str)
    assert isinstance(one.shop, str)
    assert isinstance(one.is_result, bool)
    for text in (one.detail, one.campaign, one.job_id, one.worker_reason):
        assert isinstance(text, str | None)
    assert one.dead_at is None or one.dead_at.tzinfo is not None
    for value in row_of(one).values():
        shown(cell_of(value))
    for reveal in (False, True):
        assert json.loads(json.dumps(whole_of(one, reveal=reveal)))
    made = message_of(one, None, None)
    if isinstance(made, str):
        # Told in one cell of a line.
        shown(cell_of(made))
    elif made.exchange == RESULTS:
        assert parse_result(made.body).job_id == one.job_id
    else:
        again = decode_message(made.body)
        assert again.run > 0
        assert one.is_of(again.shop)


_JSON = (b'"', b"{", b"}", b"[", b"]", b":", b",", b"null", b"true", b"1e999", b"NaN", b"\\ud800", b"-1", b"0")
_OF_A_JOB = tuple(f'"{name}":'.encode() for name in (*_SHARED, "schema", "not_after", "email", "bhid", "shopid"))

TARGETS = (
    Target("message", message, (*_JSON, *_OF_A_JOB, b'"kwargs":{"job":', b'"actor_name":"refer"', b'"args":[]')),
    Target("result", result, (*_JSON, *_OF_A_JOB, b'"outcome":"sent"', b'"referral":{"link":', b'"share_action":')),
    Target(
        "letter",
        letter,
        (*_JSON, *_OF_A_JOB, b"\x07x-deathA", b"x-referral-reasonS", b"x-referral-dead-atS", b"referrals.return"),
    ),
)
