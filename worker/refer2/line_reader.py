"""Reads an answer that has no end in sight line by line: bounded for each line, and in the silence before it."""

import zlib
from collections.abc import Iterator

import urllib3

from worker.refer2.exchange import exchange
from worker.refer2.transport import FOREIGN_ERRORS, no_answer

PIECE = 64 * 1024
"""Bytes that are read, or inflated, at once. What has come is handed out sooner, since a list may pause anywhere."""


class BrokenListError(Exception):
    """The answer can't be read to its end; the text says how it broke, for a line to a person."""


def lines(raw: urllib3.HTTPResponse, *, longest: int, silence: float) -> Iterator[tuple[bytes, bool]]:
    """The lines of a body, each with whether a line end closed it: a last line without one may have been cut.

    Waits up to ``silence`` seconds for each line, so a list may take hours and a server that only drips may not.

    Raises:
      BrokenListError: a line has more than ``longest`` bytes, none came in time, the connection broke, or the body is
        in a coding that was not asked for.
    """
    begun = b""
    try:
        for piece in _pieces(raw):
            *whole, begun = (begun + piece).split(b"\n")
            if whole:
                exchange.extend(seconds=silence)
            for line in whole:
                if len(line) > longest:
                    raise BrokenListError(f"has a line of more than {longest:,} bytes")
                yield line, True
            if len(begun) > longest:
                raise BrokenListError(f"has a line of more than {longest:,} bytes")
    except FOREIGN_ERRORS as error:
        if no_answer(error, sent=True).flaw == "timeout":
            raise BrokenListError(f"stopped: no line came for {silence:g} s") from None
        raise BrokenListError("was cut off") from None
    finally:
        # Most of it may be unread, and the next request must not meet the rest.
        raw.close()
    if begun:
        yield begun, False


def _pieces(raw: urllib3.HTTPResponse) -> Iterator[bytes]:
    coding = raw.headers.get("Content-Encoding", "identity").strip().lower()
    if coding == "identity":
        while piece := raw.read1(PIECE, decode_content=False):
            yield piece
        return
    # The request declines compression, but a proxy may compress all the same.
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise BrokenListError("is in a coding that was not asked for")
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        while packed := raw.read1(PIECE, decode_content=False):
            while packed:
                # Piece by piece: 64 KiB can hold 64 MiB of one line.
                if piece := inflater.decompress(packed, PIECE):
                    yield piece
                packed = inflater.unconsumed_tail
                if inflater.eof and (packed or inflater.unused_data):
                    # A second packed part: rather no list than the first part of one.
                    raise BrokenListError("can't be unpacked")
    except zlib.error:
        raise BrokenListError("can't be unpacked") from None
    if not inflater.eof:
        raise BrokenListError("was cut off")
