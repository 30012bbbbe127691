"""Reads XML from outside, a piece at a time, and refuses what XML allows and no spreadsheet has."""

from collections.abc import Callable, Iterator, Mapping
from typing import IO
from xml.parsers import expat

from worker.errors import InputError

_CHUNK = 64 * 1024

Start = Callable[[str, Mapping[str, str]], None]
End = Callable[[str], None]
Text = Callable[[str], None]


def parse(name: str, part: IO[bytes], start: Start, end: End, text: Text) -> Iterator[None]:
    """Call the functions for each element and text of the XML, by its name without a namespace; yields now and then.

    Raises:
      InputError: it is no XML, or declares entities, by which a small file can become endless.
    """
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.StartElementHandler = lambda tag, attributes: start(tag.rpartition("}")[2], attributes)
    parser.EndElementHandler = lambda tag: end(tag.rpartition("}")[2])
    parser.CharacterDataHandler = text

    def refuse(*_: object) -> None:
        raise InputError(f"{name}: is no spreadsheet as Excel writes it (its XML declares types); save it as CSV")

    parser.StartDoctypeDeclHandler = refuse
    try:
        while data := part.read(_CHUNK):
            parser.Parse(data)
            yield
        parser.Parse(b"", True)  # noqa: FBT003 - expat knows it by its place alone
    except (expat.ExpatError, UnicodeError):
        raise InputError(f"{name}: is damaged: its XML can't be read; save it again, or save it as CSV") from None
    yield
