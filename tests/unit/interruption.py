"""A signal such as Ctrl-C at any moment of this project's own code."""

import linecache
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from inspect import CO_GENERATOR
from types import FrameType

CLEARING = frozenset({"__exit__", "remove_draft", "_retire", "_leave", "_close_unused"})
"""Functions that clear away and aren't interrupted: that would be a second signal."""


class Interruption:
    """A signal that comes at the ``number``-th moment of the code ``within`` a path: a line, or a return.

    ``came`` tells whether there was such a moment. There is none between the last line of a ``with`` and its end, where
    Python looks for no signal: a lock would stay locked. Nor is there one at a generator's yield.
    """

    def __init__(self, number: int, within: str = "/worker/") -> None:
        self.came = False
        self._left = number
        self._within = within

    def __call__(self, frame: FrameType, event: str, _arg: object) -> "Interruption | None":
        code = frame.f_code
        if self._within not in code.co_filename or code.co_name in CLEARING:
            return None
        if linecache.getline(code.co_filename, frame.f_lineno).lstrip().startswith("with "):
            return self
        if event == "return" and code.co_flags & CO_GENERATOR:
            return self
        self._left -= 1
        if self._left == 0:
            self.came = True
            sys.settrace(None)
            raise KeyboardInterrupt
        return self

    @contextmanager
    def expected(self) -> Iterator[None]:
        """The block ends by the signal, if it comes."""
        before = sys.gettrace()
        sys.settrace(self)
        try:
            with suppress(KeyboardInterrupt):
                yield
        finally:
            sys.settrace(before)
