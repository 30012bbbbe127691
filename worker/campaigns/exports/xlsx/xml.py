"""Reads XML from outside, a piece at a time, and refuses what XML allows and no spreadsheet has."""

from collections.abc import Callable, Iterator, Mapping
from typing import IO
from xml.parsers import expat

from worker.errors import InputError

_CHUNK = 16 * 1024
"""Bytes that are parsed at once. They may be 400 rows with a cell in the last of 16,384 columns, which take 52 MB."""

_ENCODINGS = frozenset({"utf-8", "utf-16", "us-ascii", "iso-8859-1"})
"""The format allows the first two. The parser knows the others too; of the rest it would ask Python."""

_LONGEST_TAG = 1024 * 1024
"""Bytes of one tag or comment. The parser holds it whole, and reads it again from its start with each piece: one of 60
MB took 200 s and 300 MB. The longest that Excel writes is a format of 255 characters."""

_DEEPEST = 256
"""Elements within one another. A sheet has 8; each open one takes 140 bytes of the parser's memory."""

_MOST_NAMES = 10_000
"""Different names of elements and attributes, which the parser remembers. A sheet has some 100."""

Start = Callable[[str, Mapping[str, str]], None]
End = Callable[[str], None]
Text = Callable[[str], None]


def parse(name: str, part: IO[bytes], start: Start, end: End, text: Text) -> Iterator[None]:
    """Call the functions for each element and text of the XML, by its name without a namespace; yields now and then.

    Raises:
      InputError: it is no XML, or declares entities, by which a small file can become endless, or has a tag, a depth or
        a number of names that no spreadsheet has.
    """
    names: dict[str, str] = {}
    parser = expat.ParserCreate(namespace_separator="}", intern=names)
    depth = 0

    def refusal(what: str) -> InputError:
        return InputError(f"{name}: is no spreadsheet as Excel writes it (its XML {what}); save it as CSV")

    def opened(tag: str, attributes: Mapping[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise refusal("is too deep")
        start(tag.rpartition("}")[2], attributes)

    def closed(tag: str) -> None:
        nonlocal depth
        depth -= 1
        end(tag.rpartition("}")[2])

    def declared(_: str, encoding: str | None, __: int) -> None:
        if encoding is not None and encoding.casefold() not in _ENCODINGS:
            raise refusal("is in another encoding than UTF-8")

    def typed(*_: object) -> None:
        raise refusal("declares types")

    parser.buffer_text = True
    parser.StartElementHandler = opened
    parser.EndElementHandler = closed
    parser.CharacterDataHandler = text
    parser.XmlDeclHandler = declared
    parser.StartDoctypeDeclHandler = typed
    read = 0
    try:
        while data := part.read(_CHUNK):
            read += len(data)
            parser.Parse(data)
            # The parser is at the start of what isn't whole yet.
            if read - parser.CurrentByteIndex > _LONGEST_TAG:
                raise refusal("has an endless tag")
            if len(names) > _MOST_NAMES:
                raise refusal("has endless names")
            yield
        parser.Parse(b"", True)  # noqa: FBT003 - expat knows it by its place alone
    except (expat.ExpatError, UnicodeError):
        raise InputError(f"{name}: is damaged: its XML can't be read; save it again, or save it as CSV") from None
    yield
