"""Files and variables as editors and consoles on Windows leave them: marks at the beginning, returns at the end."""

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE

_LINE_ENDS = "\r\n"


class EncodingError(ValueError):
    """A text is not UTF-8; the message goes behind the file's name."""


def without_bom(raw: bytes) -> bytes:
    """The content of a UTF-8 file without the byte order marks at its beginning, of which some programs add another.

    Raises:
      EncodingError: it is UTF-16, which nobody means.
    """
    # In UTF-16 each sign of ASCII has a zero byte. A secret of any bytes may begin so too.
    if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) and b"\0" in raw:
        raise EncodingError("is saved as UTF-16; save it as UTF-8")
    while raw.startswith(BOM_UTF8):
        raw = raw.removeprefix(BOM_UTF8)
    return raw


def without_line_end(value: str) -> str:
    """A variable's value without the line end that a file of variables from Windows leaves in it."""
    return value.rstrip(_LINE_ENDS)
