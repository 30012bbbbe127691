"""Makes text from outside visible: nothing in it may control a terminal, hide, or reverse a line.

Campaign names, messages, codes, references, file names and reasons come from others, who may have put in escape
sequences, line ends, bidirectional controls or characters without a width. On screens and in logs these become escapes
as Python writes them. In files the same escapes can be read back: see :func:`escaped`.
"""

import json
import re
import unicodedata
from typing import Any

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"})
"""Unicode's categories of controls, formats (bidirectional, zero-width, tags), lone surrogates, unassigned and private
characters, and the two separators that end a line."""

_BLANKS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Letters and marks that are drawn as nothing."""

_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\\": r"\\"}
_LONG = {short: sign for sign, short in _SHORT.items()}
_ESCAPE = re.compile(r"\\(?:[\\nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U000[0-9a-f]{5}|U0010[0-9a-f]{4})")
_DELETE = "\x7f"
_BETWEEN_TOKENS = str.maketrans("\n\r\t", "   ")


def is_unseen(character: str) -> bool:
    """Whether the character controls, hides or is drawn as nothing; spaces of any width don't count."""
    return unicodedata.category(character) in _UNSEEN or character in _BLANKS


def is_plain(text: str) -> bool:
    """Whether every character of the text can be seen."""
    return (text.isascii() and text.isprintable()) or not any(map(is_unseen, text))


def one_line(text: str) -> str:
    """The text for a screen, with its line ends and everything else that can't be seen as escapes."""
    return text if is_plain(text) else "".join(_escape(sign) if is_unseen(sign) else sign for sign in text)


def escaped(text: str) -> str:
    r"""The text for a file; :func:`unescaped` restores it.

    What can't be seen becomes ``\n``, ``\r``, ``\t``, ``\x1b``, ``\u202e`` or ``\U000e0041``. A text that holds such a
    character, or something that reads like one of these escapes, has each of its backslashes doubled; any other stays.
    """
    if is_plain(text) and ("\\" not in text or not _ESCAPE.search(text)):
        return text
    return "".join(_escape(sign) if sign == "\\" or is_unseen(sign) else sign for sign in text)


def unescaped(text: str) -> str:
    """The text that :func:`escaped` was given; a text without escapes is returned as it is."""
    return _ESCAPE.sub(_unescape, text) if "\\" in text else text


def to_json(value: Any, **options: Any) -> str:
    """A value as JSON in visible ASCII; options as ``json.dumps``. The standard library leaves only DEL unescaped."""
    return ascii_json(json.dumps(value, **options))


def ascii_json(text: str) -> str:
    """The same JSON with everything that can't be seen as JSON's own escapes; its value doesn't change."""
    if is_plain(text):
        return text
    # Line ends and tabs can only stand between tokens: within a string, JSON requires escapes for them.
    text = text.translate(_BETWEEN_TOKENS)
    return "".join(json.dumps(sign)[1:-1] if is_unseen(sign) and sign != _DELETE else sign for sign in text).replace(
        _DELETE, r"\u007f"
    )


def _escape(sign: str) -> str:
    short = _SHORT.get(sign)
    if short is not None:
        return short
    code = ord(sign)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _unescape(found: re.Match[str]) -> str:
    return _LONG.get(found[0]) or chr(int(found[0][2:], 16))
