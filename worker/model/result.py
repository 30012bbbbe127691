"""The result of a job, as it goes to the results queue: a wire format, see :mod:`worker.model.job`. Pure."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from worker.errors import DeadLetterError
from worker.model.job import Campaign, Channel, Customer, JobId, Number, Reference, Shop, ShortText, job_id
from worker.model.outcomes import Outcome
from worker.model.validation import explain
from worker.model.windows import LONGEST_TEXT
from worker.text.bounds import (
    RESULT,
    loads,
)

Code = Annotated[str, StringConstraints(min_length=1, max_length=64)]


Window = Annotated[str, StringConstraints(max_length=LONGEST_TEXT)]
"""The job's, as it was. It was checked before the job was called, by a worker that knew its time zone."""


Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


# Made once: json.dumps makes a new encoder for every call with options.
_ASCII = json.JSONEncoder(separators=(",", ":"))


class Result(BaseModel):
    """How one job ended. A consumer that keeps one result per ``job_id`` has one final result per job. A result without
    a call (``expired``, ``cancelled``) is superseded by any other, whichever comes first.

    ``referral`` and ``share_action`` are the vendor's objects as they came. Times are RFC 3339 in UTC.
    """

    model_config = ConfigDict(
        extra="allow", frozen=True, hide_input_in_errors=True, populate_by_name=True, serialize_by_alias=True
    )

    schema_version: Literal[1] = Field(default=1, alias="schema")
    job_id: JobId
    campaign: Campaign
    shop: Shop
    run: Number = 0
    line: Number | None = None
    row: Number | None = None
    reference: Reference | None = None
    customer: Customer = Customer()
    channel: Channel
    destination: ShortText | None = None
    sender: ShortText | None = None
    window: Window | None = None
    outcome: Outcome
    code: Code | None = None
    status: Annotated[int, Field(ge=100, le=999)] | None = None
    message: str | None = None
    referral: dict[str, Any] | None = None
    share_action: Any = None
    attempts: Number
    published_at: AwareDatetime | None = None
    called_at: AwareDatetime | None = None
    finished_at: AwareDatetime
    latency_seconds: Seconds | None = None

    def first_id(self) -> str:
        """The id of the job's run 0, by which all its runs are one job."""
        if self.run == 0:
            return self.job_id
        return job_id(self.shop, self.campaign, 0, self.customer, self.channel, self.destination)

    def to_json(self) -> str:
        """One line of JSON in ASCII.

        The vendor's strings may hold lone surrogates, which UTF-8 can't encode; JSON's escapes can.
        """
        # By name: pydantic's own serializer took three times as long, and refuses lone surrogates. All keys come in
        # their documented order, since the order of the keys is the order of the columns downstream.
        known = {
            "schema": self.schema_version,
            "job_id": self.job_id,
            "campaign": self.campaign,
            "shop": self.shop,
            "run": self.run,
            "line": self.line,
            "row": self.row,
            "reference": self.reference,
            "customer": vars(self.customer) | (self.customer.model_extra or {}),
            "channel": self.channel,
            "destination": self.destination,
            "sender": self.sender,
            "window": self.window,
            "outcome": self.outcome,
            "code": self.code,
            "status": self.status,
            "message": self.message,
            "referral": self.referral,
            "share_action": self.share_action,
            "attempts": self.attempts,
            "published_at": _written(self.published_at),
            "called_at": _written(self.called_at),
            "finished_at": _written(self.finished_at),
            "latency_seconds": self.latency_seconds,
        }
        return _ASCII.encode(known | self.model_extra if self.model_extra else known)

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        yield "job_id", self.job_id
        yield "shop", self.shop
        yield "outcome", self.outcome
        yield "code", self.code


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def parse_result(body: bytes) -> Result:
    """The result in a message's body; see :func:`check_result`.

    Raises:
      DeadLetterError: the body is no result, or it carries another job's id (`bad_schema`).
    """
    try:
        # Python's own parser reads it first: pydantic's refuses lone surrogates, and `to_json` writes the vendor's.
        return check_result(loads(body, RESULT))
    except ValueError:
        raise DeadLetterError("bad_schema", "it is no result: the body is not JSON within bounds") from None


def check_result(document: Any) -> Result:
    """The result in a JSON document. It counts only as a whole: every field must be valid, and they must make its id.

    Raises:
      DeadLetterError: as :func:`parse_result`.
    """
    try:
        result = Result.model_validate(document)
        made_by_its_fields = job_id(
            result.shop, result.campaign, result.run, result.customer, result.channel, result.destination
        )
    except ValidationError as error:
        raise DeadLetterError("bad_schema", f"it is no result that this version reads: {explain(error)}") from None
    except ValueError:
        raise DeadLetterError("bad_schema", "it is no result: its job's fields are no valid Unicode") from None
    if made_by_its_fields != result.job_id:
        raise DeadLetterError("bad_schema", "it is a result whose fields make another job id than it carries")
    return result
