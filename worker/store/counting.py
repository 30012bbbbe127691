"""What a campaign's counters are called, and how many there may be."""

from worker.model.outcomes import Outcome

MOST_COUNTERS = 200
"""Counters of a campaign at a shop. Codes come from outside: beyond so many counters, all further codes are one."""

MOST_CAMPAIGNS = 1000
"""Campaigns of a shop that have counters of their own. Producers choose the names. Beyond so many, campaigns whose jobs
have all ended are counted together; where none has, the newest are."""

OTHER_CAMPAIGNS = "_other"
"""The name that these are counted under."""


def counter_of(outcome: Outcome, code: str | None) -> str:
    """What a final result is counted under: its outcome, of rejections ``rejected:<code>``, and
    ``cancelled:suppressed`` of a job whose customer or destination is on a suppression list.
    """
    return f"{outcome}:{code}" if outcome == "rejected" or code == "suppressed" else outcome
