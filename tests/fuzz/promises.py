"""What holds at every boundary."""

import json
import re
from typing import Any

from worker.errors import ReferralError
from worker.text.visible import is_plain

LONGEST_ERROR = 2_000
"""Characters. An error names a place, what is wrong there and the remedy; it never retells its input."""

CANARY = "c4n4ry-Pa55w0rd"
"""Stands for a secret where an input has one."""

_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+")


def told(error: ReferralError) -> None:
    """Assert that an error is one line that a person may read: short, plain, without an address or the canary."""
    assert isinstance(error, ReferralError)
    shown(str(error))
    assert len(str(error)) <= LONGEST_ERROR, f"{len(str(error))} characters"


def shown(line: str) -> None:
    """Assert that a line can be shown to anybody."""
    assert is_plain(line), ascii(line)
    assert not _ADDRESS.search(line), line
    assert CANARY not in line, line


def nodes(value: Any) -> int:
    """How many values a document is made of: each takes memory, however few bytes it was written in."""
    count, ahead = 0, [value]
    while ahead:
        one = ahead.pop()
        count += 1
        if isinstance(one, dict):
            ahead += one.values()
        elif isinstance(one, list):
            ahead += one
    return count


def same_cells(found: list[str], expected: list[str]) -> bool:
    """Whether cells are the same: by their text, or as JSON of the same value."""
    return len(found) == len(expected) and all(map(_same, found, expected))


def _same(found: str, expected: str) -> bool:
    if found == expected:
        return True
    try:
        return bool(json.loads(found) == json.loads(expected))
    except ValueError:
        return False


def json_again(value: Any) -> Any:
    """A value written as strict JSON and read again."""
    return json.loads(json.dumps(value, allow_nan=False))
