"""What is to be done with a job's message after its grant: a closed set, carried out by scheduling's outcomes."""

from dataclasses import dataclass

from worker.model.result import Outcome, Result
from worker.model.verdicts import Scope, Verdict
from worker.text.bounds import RESULT, loads


@dataclass(frozen=True, slots=True)
class Finish:
    """A final result is recorded in the ledger: publish ``body``, then settle and acknowledge."""

    epoch: int
    body: str
    outcome: Outcome
    code: str | None
    has_share_action: bool
    verdict: Verdict | None = None

    @classmethod
    def recorded(cls, epoch: int, body: str) -> "Finish":
        """The disposition of a job whose result (its JSON) was recorded earlier and has yet to be published.

        Raises:
          ValueError: it is no result; somebody else has written into the store.
        """
        result = Result.model_validate(loads(body, RESULT))
        return cls(epoch, body, result.outcome, result.code, result.share_action is not None)


@dataclass(frozen=True, slots=True)
class Later:
    """The repeat is recorded in the ledger: put a copy into a delay queue until ``not_before``, then acknowledge.

    ``spent`` tells whether the call counts as an attempt, ``elapsed`` for how long the job has been tried by then.
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
    """Another worker took the job over while this call was under way: publish nothing, acknowledge nothing."""

    verdict: Verdict


Disposition = Finish | Later | Return | Fenced
