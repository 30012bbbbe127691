"""Text that steers a terminal or hides in one, and the search for it in what programs write.

For any suite: put :data:`TEXT` wherever text comes from outside, then ``assert list(hostile.raw(written)) == []``.
"""

import re
from collections.abc import Iterator

CONTROLS = [chr(code) for code in (*range(1, 0x20), *range(0x7F, 0xA0))]
BIDIRECTIONAL = list("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
WITHOUT_WIDTH = [*"\u00ad\u034f\u115f\u180e\u200b\u200c\u200d\u2060\u3164\ufeff\uffa0", "\U000e0001", "\U000e0041"]
SEPARATORS = list("\u2028\u2029")
CHARACTERS = [*CONTROLS, *BIDIRECTIONAL, *WITHOUT_WIDTH, *SEPARATORS]

TEXT = (
    "x\x1b]0;owned\x07\x1b[2Jred[/] [link=http://evil.example]here :smile: "
    + "".join(sign for sign in CHARACTERS if sign != "\n")
    + "\nshop acme is fine;=1+1"
)
"""Titles, colours, links and a line that looks like ours, and every character that none may see raw."""

_RAW = re.compile("[" + re.escape("".join(sign for sign in CHARACTERS if sign not in "\r\n\t")) + "]")


def raw(written: bytes) -> Iterator[str]:
    """The characters that steer or hide in what was written, each with what stands around it. Line ends and tabs, which
    files and tables are made of, are none: whether a text began a line of its own is for the test to ask."""
    text = written.decode(errors="backslashreplace")
    for found in _RAW.finditer(text):
        yield f"{found[0]!r} in {text[max(0, found.start() - 40) : found.end() + 40]!r}"
