"""The outcomes of a job. Cheap to import, since the help of a command lists them."""

from typing import Literal

Outcome = Literal["sent", "rejected", "failed", "unknown", "expired", "cancelled"]


OUTCOMES: tuple[Outcome, ...] = ("sent", "rejected", "failed", "unknown", "expired", "cancelled")


UNCALLED: frozenset[str] = frozenset({"expired", "cancelled"})
"""Outcomes of jobs that were not called. They are not final: a later copy of the job may be called, and then its result
counts."""
