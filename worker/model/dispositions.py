"""What to do with a job's message after its grant: a closed set. Pure.

The dispatch decides and has recorded it in the ledger; :mod:`worker.scheduling.outcomes` carries it out. ``epoch`` is
that of the grant, by which the ledger recognises a worker that was overtaken.
"""

from dataclasses import dataclass

from worker.model.outcomes import Outcome
from worker.model.result import Result
from worker.model.verdicts import Scope, Verdict
from worker.text.bounds import RESULT, loads


@dataclass(frozen=True, slots=True)
class Finish:
    """The final result is recorded in the ledger: publish ``body``, wait for its confirm, settle, acknowledge."""

    epoch: int
    body: str
    outcome: Outcome
    code: str | None
    has_share_action: bool
    verdict: Verdict | None = None

    @classmethod
    def recorded(cls, epoch: int, body: str) -> "Finish":
        """The disposition of a job whose result (``body``, JSON) was recorded before and must still be published.

        A worker died, or lost RabbitMQ, between recording and publishing it.

        Raises:
          ValueError: it is no result; somebody else has written into the store.
        """
        result = Result.model_validate(loads(body, RESULT))
        return cls(epoch, body, result.outcome, result.code, result.share_action is not None)


@dataclass(frozen=True, slots=True)
class Later:
    """The repeat is recorded in the ledger: publish a copy into a delay queue until ``not_before``, then acknowledge.

    ``spent`` says whether the call counts as an attempt, ``elapsed`` for how long the job will have been tried by then
    (both times in microseconds).
    """

    epoch: int
    not_before: int
    verdict: Verdict
    spent: bool = True
    elapsed: int = 0


@dataclass(frozen=True, slots=True)
class Return:
    """The grant is released in the ledger and no attempt was spent: the job returns to its shop in the gate.

    ``scope`` says who has to wait until ``until``: the customer, or the whole shop; None where the job may ask again at
    once. With a ``verdict`` a call was made all the same. ``verified``: none of the earlier calls was carried out.
    """

    epoch: int
    scope: Scope | None = None
    until: int = 0
    verdict: Verdict | None = None
    verified: bool = False


@dataclass(frozen=True, slots=True)
class Fenced:
    """Another worker took the job over during this call: publish nothing, acknowledge nothing."""

    verdict: Verdict


Disposition = Finish | Later | Return | Fenced
