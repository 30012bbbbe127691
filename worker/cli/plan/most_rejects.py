"""``--max-rejects``: how many rows may be left out before a command ends as a failure. Pure."""

import re
from fractions import Fraction

from worker.errors import ReferralError, UsageError

_BOUND = re.compile(r"(\d{1,12})|(\d{1,3}(?:\.\d{1,3})?)%")


def check_most(text: str | None) -> None:
    """Check the option's form before anything is read.

    Raises:
      UsageError: it is neither a number nor a share of at most 100 %.
    """
    if text is not None:
        _most(text, 0)


def refuse_more(text: str | None, rejected: int, rows: int) -> None:
    """Check what was left out.

    Raises:
      ReferralError: more than the option allows.
      UsageError: as :func:`check_most`.
    """
    if text is not None and rejected > _most(text, rows):
        raise ReferralError(f"{rejected:,} of {rows:,} rows are left out, more than --max-rejects {text} allows")


def _most(text: str, rows: int) -> Fraction:
    found = _BOUND.fullmatch(text.strip())
    if found is None or (found[2] and Fraction(found[2]) > 100):
        raise UsageError(f"--max-rejects {text}: is neither a number of rows nor a share such as 5%")
    # Not as a float: 2.3 % of 3,000 rows would be 68.99999999999999.
    return Fraction(found[1]) if found[1] else Fraction(found[2]) * rows / 100
