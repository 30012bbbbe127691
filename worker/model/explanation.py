"""What a word in our output means and what to do about it, for a person. Pure."""

from typing import NamedTuple


class Explanation(NamedTuple):
    """``meaning`` is a clause without a full stop; ``remedy`` is one sentence or more. Both are Markdown.

    The part of ``meaning`` before its first semicolon can stand alone.
    """

    meaning: str
    remedy: str

    @property
    def short(self) -> str:
        """The meaning in a few words, for a line on a screen."""
        return self.meaning.partition(";")[0]
