"""What a replay takes and leaves out, as lines for a person and as data. Pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from worker.cli.redaction import masked as without_addresses
from worker.cli.tables import wrapped
from worker.model.codes import explain
from worker.model.job import Job
from worker.model.outcomes import Outcome
from worker.planning.examples import EXAMPLES
from worker.results.again import MOST_CODES, OTHER_CODES, Chosen, Left
from worker.text.line_names import line_name
from worker.text.masking import hint

Kind = tuple[str, str | None]
"""The outcome and the code of the results that jobs follow."""

_LONGEST_REFERENCE = 24

_SHOWN = 12
"""Kinds that a person is shown one by one; the most frequent come first."""


@dataclass
class Summary:
    """Counts of a replay. ``shops`` are those of the jobs that are taken, at most as many as a shops file names.

    ``rehearsed`` counts those of them that follow a rehearsal, ``unknown`` those of which any run may have been sent.
    """

    campaign: str
    read: int
    kinds: Counter[Kind] = field(default_factory=Counter)
    examples: dict[Kind, list[str]] = field(default_factory=dict)
    left: Counter[Left] = field(default_factory=Counter)
    shops: set[str] = field(default_factory=set)
    rehearsed: int = 0
    unknown: int = 0

    @classmethod
    def of(cls, campaign: str, chosen: Chosen) -> "Summary":
        """The summary of what was chosen; reads all of it."""
        made = cls(campaign, chosen.read)
        for job, outcome, code, rehearsed, perhaps_sent in chosen.jobs(made.left):
            kind: Kind = (outcome, code)
            if kind not in made.kinds and len(made.kinds) >= MOST_CODES:
                kind = (outcome, OTHER_CODES)
            made.kinds[kind] += 1
            examples = made.examples.setdefault(kind, [])
            if len(examples) < EXAMPLES:
                examples.append(_example(job))
            made.shops.add(job.shop)
            made.rehearsed += rehearsed
            made.unknown += perhaps_sent
        return made

    @property
    def jobs(self) -> int:
        """The jobs that are taken."""
        return self.kinds.total()

    @property
    def rehearsal(self) -> str:
        """What a person should know where results come from a rehearsal."""
        return f"{self.rehearsed:,} {_SANDBOX}"

    def lines(self, width: int | None) -> list[str]:
        """The summary for a person, in lines of at most ``width`` columns."""
        return [line for text, indent in self._texts() for line in wrapped(text, width, indent=indent)]

    def data(self) -> dict[str, Any]:
        """The summary for a program."""
        return {
            "campaign": self.campaign,
            "results": self.read,
            "jobs": self.jobs,
            "chosen": [
                {"outcome": outcome, "code": code, "jobs": number, "examples": self.examples[outcome, code]}
                for (outcome, code), number in self.kinds.most_common()
            ],
            "left_out": dict(self.left),
            "sandbox": self.rehearsed,
        }

    def _texts(self) -> Iterator[tuple[str, str]]:
        yield f"{_jobs(self.jobs)} of campaign {self.campaign} to send again{':' if self.jobs else ''}", ""
        kinds = self.kinds.most_common()
        for kind, number in kinds[:_SHOWN]:
            yield f"{number:,} {_named(kind)}: {_meaning(kind)}", "  "
            yield ", ".join(self.examples[kind]), "      "
        if rest := kinds[_SHOWN:]:
            yield f"{sum(number for _, number in rest):,} with {len(rest)} other codes", "  "
        for why, number in self.left.most_common():
            yield f"left out: {number:,} {_WHY[why]}", ""
        if self.rehearsed:
            yield self.rehearsal, ""
        if self.unknown:
            yield f"{self.unknown:,} {_TWICE}", ""


_SANDBOX = (
    "of these results come from a SANDBOX, which called nobody; those without an answer count as such if others of "
    "their shop do. Workers call whatever the shops file names, which may be the real shop"
)
_TWICE = (
    "of these may have been carried out already: nobody knows whether, and whoever was written to is then written to "
    "twice"
)
_WHY: dict[Left, str] = {
    "sent": "of which another run was sent",
    "unknown": "that may have been sent (unknown); --outcome unknown takes them",
    "cancelled": "whose campaign is cancelled in their shop; run `referrals cancel --undo` first",
    "unfit": "of which no message can be made",
}


def _jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{number:,} jobs" if number else "no job"


def _named(kind: Kind) -> str:
    return " ".join(text for text in kind if text)


def _meaning(kind: Kind) -> str:
    outcome, code = kind
    # The results were checked, so it is one of the outcomes.
    return explain(cast("Outcome", outcome), code if code != OTHER_CODES else None).short


def _example(job: Job) -> str:
    customer = job.customer.email or job.customer.shopid or job.customer.bhid or ""
    reference = str(without_addresses(job.reference or ""))[:_LONGEST_REFERENCE]
    told = [line_name(job.line, job.row) if job.line is not None else "", reference, f"({hint(customer)})"]
    return " ".join(text for text in told if text)
