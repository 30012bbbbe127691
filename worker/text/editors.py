"""Files and variables as editors and consoles on Windows write them: with byte order marks and carriage returns."""

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE

_LINE_ENDS = "\r\n"


class EncodingError(ValueError):
    """A text is not UTF-8; its message is the end of a sentence that begins with the file's name."""


def without_bom(raw: bytes) -> bytes:
    """A UTF-8 file's content without the byte order marks at its beginning, of which there may be several.

    Raises:
      EncodingError: it is UTF-16, which no file of ours is.
    """
    # A secret of arbitrary bytes may begin like UTF-16; but in UTF-16 every ASCII character has a zero byte.
    if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) and b"\0" in raw:
        raise EncodingError("is saved as UTF-16; save it as UTF-8")
    while raw.startswith(BOM_UTF8):
        raw = raw.removeprefix(BOM_UTF8)
    return raw


def without_line_end(value: str) -> str:
    """A variable's value without the carriage return that a file of variables written on Windows leaves at its end."""
    return value.rstrip(_LINE_ENDS)
