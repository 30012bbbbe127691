"""Bounds on all input from outside, in one place, and their check before anything is built of the input.

JSON grows when it is read: a body of two-byte values takes some thirty times its size as Python objects, so a bound on
bytes alone bounds little. :func:`check` looks at the bytes only. For an ordinary job it costs 2 µs, since counting
JSON's structural characters is enough. Input with more of them than allowed is read token by token, up to the first
that is too much.
"""

import json
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

LARGEST_INTEGER = 2**53 - 1
"""The largest of a job's and a result's own numbers: the largest integer that every reader of JSON holds exactly."""


class TooLargeError(ValueError):
    """Input is larger, deeper or longer than allowed; the text says which, and quotes nothing of the input."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What JSON from outside may have at most: ``size`` in bytes, ``depth`` in levels of nesting, ``parts`` (keys and
    values together), and the bytes of one ``text`` and of one ``number`` as they are written.
    """

    size: int
    depth: int
    parts: int
    text: int
    number: int = 64


MESSAGE = Bounds(size=64 * 1024, depth=32, parts=1024, text=16 * 1024)
"""A job's message. One with all fields has 40 parts, and its longest text, a reference of 1,024 characters beyond
the BMP in escapes, 12 KiB."""

ORDINARY = 9 * 1024
"""Bytes of each message's :func:`weight` that are not counted against :data:`IN_HAND`. A job with all fields weighs
8,500, one with only the required fields 4,700."""

IN_HAND = 40 * 1024 * 1024
"""Bytes that all messages in a worker's hands may weigh beyond what is ordinary. A thousand shops' jobs of twice the
ordinary size fit."""

UNKNOWN_FIELDS = 64
"""Unknown fields that a job may have, and its customer as many."""

LARGEST_UNKNOWN = 8 * 1024
"""Characters of an unknown field's name and its value as compact JSON, together."""

ANSWER = Bounds(size=256 * 1024, depth=64, parts=4096, text=64 * 1024)
"""An answer to one call. A referral is some hundreds of bytes and 30 parts. Every thread may hold one."""

LISTING = Bounds(size=1024 * 1024, depth=64, parts=32 * 1024, text=64 * 1024)
"""An answer that lists all referrals of a customer. Each referral in it has the bounds of an answer to a call."""

LISTED_ROW = Bounds(size=64 * 1024, depth=16, parts=2048, text=16 * 1024)
"""A line of a list of a whole shop. A customer with ids and address has 150 bytes, with all fields some thousands."""

RESULT = Bounds(size=4 * 1024 * 1024, depth=128, parts=32 * 1024, text=4 * 1024 * 1024)
"""A result: a job and the answer to its call. JSON's escapes make up to six bytes of one (DEL). Workers older than this
bound accepted answers of 1 MiB, and their results must still be read."""

RESULT_LINE = replace(RESULT, size=6 * RESULT.size, text=6 * RESULT.text)
"""A result in a file, where a result that another producer wrote without escapes has got them."""

LETTER = RESULT
"""A dead letter, which may be a job or a result."""

ROW = Bounds(size=4 * 1024 * 1024, depth=32, parts=16 * 1024, text=4 * 1024 * 1024)
"""A line of an export in JSON."""

CLAIMS = Bounds(size=16 * 1024, depth=16, parts=512, text=16 * 1024)
"""The claims in a ready-made token."""

SHOPS_FILE = 4 * 1024 * 1024
"""Bytes of the shops file, which a running worker reads again when it changes: 400 for each of the most shops."""

MOST_SHOPS = 10_000
"""Shops in a shops file: twice as many as one RabbitMQ cluster can serve."""

MOST_VALUES = 250_000
"""Values in a shops file: every key for each of the most shops."""

CREDENTIAL_FILE = 64 * 1024
"""Bytes of a file with a secret or a token."""

METRICS_PAGE = 64 * 1024 * 1024
"""Bytes of RabbitMQ's page of metrics: about 100 for each of two lines a queue."""

# Maps every digit to 0, so that one search for a run of zeros finds any long number, in a seventh of a regex's time.
_ZEROS = bytes(ord("0") if chr(byte).isdecimal() else byte for byte in range(128)) + bytes(range(128, 256))

# A string without its end is one token too, up to the end of the input. When the search began anew at each quote,
# 256 KiB took 6 s.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[{]|[\]}]|[^\s\[\]{},:"]++', re.DOTALL)
_OPENING, _CLOSING = (b"[", b"{"), (b"]", b"}")
_NUMBER_BEGINS = b"-0123456789"
_WORDS = (b"true", b"false", b"null", b"NaN", b"Infinity")
"""The last two are no JSON, but pydantic's parser accepts them and reads on."""


def check(text: bytes, bounds: Bounds) -> None:
    """Check that JSON keeps within the bounds, without building anything of it. It may still be no JSON at all.

    Raises:
      TooLargeError: it exceeds one of them.
    """
    if len(text) > bounds.size:
        raise TooLargeError(f"has {len(text):,} bytes, and {bounds.size:,} is the most")
    openings = text.count(b"[") + text.count(b"{")
    if (
        openings > bounds.depth
        or openings + text.count(b",") + text.count(b":") >= bounds.parts
        or len(text) > bounds.text
        or b"0" * (bounds.number + 1) in text.translate(_ZEROS)
    ):
        _look_through(text, bounds)


def weight(size: int, structural_characters: int = 0) -> int:
    """The most memory that a message takes as a job, in bytes: ``size`` is its body and properties in bytes.

    Measured: the message itself, four bytes for each of its characters (one of which may be beyond the BMP), and 80 for
    each structural character, which is the most, in nested objects of one key. The smallest jobs take about half of
    what this says.
    """
    return 5 * size + 80 * min(structural_characters, MESSAGE.parts)


def structural_characters(text: bytes) -> int:
    """How many of ``[ { , :`` a piece of JSON holds, those in strings included: 1 µs for an ordinary job."""
    return len(text) - len(text.translate(None, b"[{,:"))


def read_file(path: Path, most: int) -> bytes:
    """The content of a file of at most ``most`` bytes. Of a larger file, or a device, it reads no more than that.

    Raises:
      TooLargeError: the file is larger.
      OSError: it can't be read.
    """
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise TooLargeError(f"has more than {most:,} bytes")
    return content


def loads(text: bytes | str, bounds: Bounds) -> Any:
    """The value of strict JSON in UTF-8 within the bounds: no ``NaN``, and no number too large for a float.

    Raises:
      ValueError: it is no such JSON; a :class:`TooLargeError` if it exceeds the bounds.
    """
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    check(raw, bounds)
    try:
        return _DECODER.decode(raw.decode() if isinstance(text, bytes) else text)
    except RecursionError:
        raise TooLargeError("nests too deep") from None


def _look_through(text: bytes, bounds: Bounds) -> None:
    depth = parts = 0
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token in _CLOSING:
            depth -= 1
            if depth < 0:
                # No JSON from here on. The parser will say so, and it stops here too.
                return
            continue
        parts += 1
        if token in _OPENING:
            depth += 1
        if depth > bounds.depth:
            raise TooLargeError(f"nests deeper than {bounds.depth} levels")
        if parts > bounds.parts:
            raise TooLargeError(f"has more than {bounds.parts:,} keys and values")
        if token.startswith(b'"'):
            if len(token) - 2 > bounds.text:
                raise TooLargeError(f"holds a text of more than {bounds.text:,} bytes")
        elif token[0] in _NUMBER_BEGINS:
            if len(token) > bounds.number:
                raise TooLargeError(f"holds a number of more than {bounds.number} characters")
        elif token not in _OPENING and token not in _WORDS:
            # No JSON either.
            return


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    # 1e400 is JSON, but Python would write it as Infinity, which is not.
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number beyond any that can be written again")
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
