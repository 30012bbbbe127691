"""What a campaign's counters are called, and how many there may be."""

from worker.model.result import Outcome

MOST_COUNTERS = 200
"""Of a campaign at a shop. Codes are words from outside: beyond so many counters all other codes are one."""

MOST_CAMPAIGNS = 1000
"""Of a shop that have counters of their own. Names come from whoever publishes; beyond so many, those whose jobs have
all ended, and else the newest, are counted together."""

OTHER_CAMPAIGNS = "_other"
"""The name that these are counted under."""


def counter_of(outcome: Outcome, code: str | None) -> str:
    """What a final result is counted under: its outcome, of rejections ``rejected:<code>``."""
    return f"rejected:{code}" if outcome == "rejected" else outcome
