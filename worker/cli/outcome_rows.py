"""Results by outcome and by code, for the summaries of commands. Pure."""

from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

from worker.model.codes import explain
from worker.model.outcomes import Outcome

MOST_CODES = 20
"""Codes that a summary names; the results hold the others."""

_OutcomeAndCode = TypeVar("_OutcomeAndCode", bound=tuple[str, str])


def outcome_rows(outcomes: Counter[Outcome], codes: Counter[tuple[Outcome, str]]) -> list[tuple[str, str]]:
    """A row for each outcome, and below it one for each of its codes with what it means; the most common first."""
    named = codes.most_common(MOST_CODES)
    rows: list[tuple[str, str]] = []
    for outcome, number in outcomes.most_common():
        rows.append((outcome, f"{number:,}"))
        rows += [
            (f"  {code}", f"{jobs:,}  {explain(outcome, code).short}")
            for (theirs, code), jobs in named
            if theirs == outcome
        ]
    return rows


def by_code(codes: Mapping[_OutcomeAndCode, int]) -> dict[str, int]:
    """How many results or rows have each code, whatever their outcome."""
    counted: Counter[str] = Counter()
    for (_, code), number in codes.items():
        counted[code] += number
    return dict(counted)
