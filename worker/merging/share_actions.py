"""The columns of share actions: a path for each value in them, as they are met. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from worker.text.visible import is_plain

MOST = 50
"""Columns that share actions may make. A real one has some five; the bound is for one that has data as its keys."""

LONGEST = 200
"""Characters of a column's name."""

Scalar = str | int | float | bool | None


class SharePaths:
    """The paths that the share actions of a campaign have, in the order in which they were met.

    ``more`` counts the values that have no column, since there were :data:`MOST` already, or the name is too long or
    has characters that can't be seen.
    """

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self.more = 0

    @property
    def names(self) -> Sequence[str]:
        """The columns' names: ``share_action.url``, ``share_action.buttons.0.text`` and so on."""
        return [f"share_action.{path}" if path else "share_action" for path in self._places]

    def values(self, share_action: Any) -> list[Scalar]:
        """The values of a share action by column. Later columns, which it doesn't have, may be missing at the end."""
        found: dict[int, Scalar] = {}
        for path, value in _leaves(share_action):
            place = self._places.get(path)
            if place is None:
                if len(self._places) >= MOST or len(path) > LONGEST or not is_plain(path):
                    self.more += 1
                    continue
                place = self._places[path] = len(self._places)
            found.setdefault(place, value)
        return [found.get(place) for place in range(max(found, default=-1) + 1)]


def _leaves(share_action: Any) -> Iterator[tuple[str, Scalar]]:
    """Each value that is neither object nor list, with its path; nulls are none."""
    # A list in place of recursion, which would be bounded by the depth of the JSON.
    waiting: list[tuple[str, Any]] = [("", share_action)]
    while waiting:
        path, value = waiting.pop()
        inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else None
        if inner is None:
            if value is not None:
                yield path, value
        else:
            waiting += reversed([(f"{path}.{key}" if path else str(key), one) for key, one in inner])
