"""One small change of one file."""

import difflib
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """``path`` with ``mutated`` in place of ``original``; ``line`` is where the change begins."""

    path: str
    line: int
    original: str
    mutated: str

    def diff(self) -> str:
        """The change as a unified diff with one line around it."""
        lines = difflib.unified_diff(
            self.original.splitlines(), self.mutated.splitlines(), f"a/{self.path}", f"b/{self.path}", lineterm="", n=1
        )
        return "\n".join(lines)
