"""Which jobs of a campaign are sent again, and as which run."""

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any, Literal, NamedTuple, Self

from pydantic import ValidationError

from worker.errors import DeadLetterError, InputError, UsageError
from worker.model.job import SCHEMA, Job
from worker.model.message import encode_message
from worker.model.outcomes import UNCALLED
from worker.model.rehearsal import is_rehearsed
from worker.model.result import Result, check_result
from worker.results.runs import Known, Runs

Left = Literal["sent", "unknown", "cancelled", "unfit"]
"""Why a job that was asked for is left out: a run of it was sent; a run of it may have been sent; its campaign is
cancelled in its shop; or no message can be made of it."""

MOST_CODES = 100
"""Codes that are counted by themselves. A shop may have any number of its own."""

OTHER_CODES = "other codes"

_NOT_ASKED_FOR = -1


@dataclass(frozen=True)
class Choice:
    """The results that are asked for: those with one of the outcomes and one of the codes, where any are given.

    A job that was sent is never sent again. One that may have been sent needs the outcome `unknown` by name.
    """

    outcomes: frozenset[str]
    codes: frozenset[str]

    def takes(self, result: Result) -> bool:
        """Whether this result is asked for."""
        return (
            result.outcome != "sent"
            and (not self.outcomes or result.outcome in self.outcomes)
            and (not self.codes or result.code in self.codes)
        )


class Taken(NamedTuple):
    """A job that is to be published, and the result that it follows: its outcome and code.

    ``rehearsed``: a sandbox gave that result; or nothing answered, and a sandbox gave others of the campaign in its
    shop. ``perhaps_sent``: that result, or one of an earlier run, is `unknown`.
    """

    job: Job
    outcome: str
    code: str | None
    rehearsed: bool
    perhaps_sent: bool


class Chosen:
    """The jobs that are asked for, each as it is published. A context manager; for one thread.

    Only the latest run of a job counts, and none if any was sent. The jobs wait in a temporary file without a name, so
    exactly those are published that were counted, whatever happens to their source meanwhile; memory is bounded.
    """

    def __init__(self, choice: Choice, *, is_cancelled: Callable[[str], bool], limit: int | None = None) -> None:
        """``is_cancelled``: whether the campaign is cancelled in a shop. ``limit``: take at most so many."""
        self._choice = choice
        self._is_cancelled = is_cancelled
        self._limit = limit
        self._runs = Runs()
        self._candidates: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._rehearsing: set[str] = set()
        self.read = 0
        """Results that were looked at."""
        self.codes: Counter[str] = Counter()
        """Their codes, at most :data:`MOST_CODES` of them."""

    def close(self) -> None:
        """Remove the temporary files."""
        self._runs.close()
        self._candidates.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, parsed: Mapping[str, Any], not_after: datetime | None) -> None:
        """Look at a result that was checked, given as its parsed JSON. ``not_after`` becomes the deadline of its job.

        Raises:
          InputError: the temporary file can't grow.
          DeadLetterError: it is no result.
        """
        self.read += 1
        shop: str = parsed["shop"]
        if shop not in self._rehearsing and is_rehearsed(parsed):
            self._rehearsing.add(shop)
        if parsed["outcome"] == "sent" and parsed.get("run", 0) == 0:
            # Most results are these. Their source has checked them; doing it again takes 13 µs each.
            self._runs.add(parsed["job_id"], 0, "sent", _NOT_ASKED_FOR)
            return
        result = check_result(parsed)
        first_id = result.first_id()
        if result.code is not None and (result.code in self.codes or len(self.codes) < MOST_CODES):
            self.codes[result.code] += 1
        place = self._keep(first_id, result, parsed, not_after) if self._choice.takes(result) else _NOT_ASKED_FOR
        self._runs.add(first_id, result.run, result.outcome, place)

    def jobs(self, left: Counter[Left] | None = None) -> Iterator[Taken]:
        """The jobs that are taken, the same each time; ``left`` counts those that are not, by why."""
        taken = 0
        for place, first_id, candidate in self._kept():
            known = self._runs.known(first_id)
            if known is None or known.latest != place:
                # A later run has another end.
                continue
            why = self._left(known, candidate)
            if why is not None:
                if left is not None:
                    left[why] += 1
                continue
            if taken == self._limit:
                return
            taken += 1
            job = Job.model_validate(candidate["job"])
            rehearsed = candidate["rehearsed"] or (candidate["unanswered"] and job.shop in self._rehearsing)
            yield Taken(job, candidate["outcome"], candidate["code"], rehearsed, known.unknown)

    def _left(self, known: Known, candidate: Mapping[str, Any]) -> Left | None:
        if known.sent:
            return "sent"
        if known.unknown and "unknown" not in self._choice.outcomes:
            return "unknown"
        if candidate["job"] is None:
            return "unfit"
        return "cancelled" if self._is_cancelled(candidate["job"]["shop"]) else None

    def _keep(self, first_id: str, result: Result, parsed: Mapping[str, Any], not_after: datetime | None) -> int:
        try:
            job = job_again(result, not_after=not_after)
            # What no worker takes is found before a person is asked.
            encode_message(job, published_at_ms=0)
        except (DeadLetterError, UsageError, ValidationError):
            document = None
        else:
            document = job.model_dump(mode="json", exclude_none=True)
        candidate = {
            "job": document,
            "outcome": result.outcome,
            "code": result.code,
            "rehearsed": is_rehearsed(parsed),
            # A time-out has no mark, whoever was called.
            "unanswered": result.message is None and result.referral is None,
        }
        place = self._candidates.tell()
        try:
            self._candidates.write(json.dumps([first_id, candidate], separators=(",", ":")).encode() + b"\n")
        except OSError as error:
            raise InputError(
                f"the temporary file of jobs can't grow ({error.strerror}); point TMPDIR to a folder with room"
            ) from error
        return place

    def _kept(self) -> Iterator[tuple[int, str, dict[str, Any]]]:
        self._candidates.seek(0)
        place = 0
        for line in self._candidates:
            first_id, candidate = json.loads(line)
            yield place, first_id, candidate
            place += len(line)


def job_again(result: Result, *, not_after: datetime | None) -> Job:
    """The job to publish after a result: the next run of the job that the result is of.

    A job that ended without a call keeps its run. It is the same job, which may still be called: under another id it
    could be called twice, since a copy of it is called too once its export is published again.

    Raises:
      DeadLetterError: its run is the largest there is (`bad_schema`).
      ValidationError: its window can't be read on this machine.
    """
    job = Job(
        schema_version=SCHEMA,
        job_id=result.job_id,
        campaign=result.campaign,
        shop=result.shop,
        run=result.run,
        line=result.line,
        row=result.row,
        reference=result.reference,
        customer=result.customer,
        channel=result.channel,
        destination=result.destination,
        sender=result.sender,
        window=result.window,
        not_after=not_after,
    )
    return job if result.outcome in UNCALLED else job.replay(not_after=not_after)
