"""The result of a job, as it goes to the results queue: a wire format, see :mod:`worker.model.job`. Pure."""

from collections.abc import Iterator
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

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        yield "job_id", self.job_id
        yield "shop", self.shop
        yield "outcome", self.outcome
        yield "code", self.code


def parse_result(body: bytes) -> Result:
    """The result in a message's body; see :func:`check_result`.

    Raises:
      DeadLetterError: the body is no result, or it carries another job's id (`bad_schema`).
    """
    try:
        # Python's own parser reads it first: pydantic's refuses lone surrogates, and results have the vendor's.
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
