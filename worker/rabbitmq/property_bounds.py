"""Finds properties that would take too long to decode, before anything decodes them. Pure.

A value may be a single byte of a header. Decoding a frame full of such values takes 150 ms, and leaving them out of a
copy takes as long again. And pika joins all words of flags into one number, in a time that grows with the square of
their count. So the bounds of a message's body hold for its headers too, and heavier ones are carried along unread.
"""

import struct

from worker.text.bounds import MESSAGE

LIGHT = 5 * MESSAGE.depth
"""Bytes of properties that can't be heavy: a level of nesting takes five bytes, and a value one."""

LARGEST = 256 * 1024
"""Bytes of properties that are decoded: what a usual frame has room for, twice."""

_TABLE, _ARRAY, _TEXTS = ord("F"), ord("A"), b"Sx"

_BY_WIDTH = {0: "V", 1: "tbB", 2: "Uus", 4: "Iif", 5: "D", 8: "lLdT"}

_WIDTHS = {ord(kind): width for width, kinds in _BY_WIDTH.items() for kind in kinds}

_MORE_FLAGS = 1


def are_heavy(raw: bytes, spare: int = 0) -> bool:
    """Whether properties have more values or levels than a job's message may, end where a value should begin, or are
    larger than :data:`LARGEST`.

    ``spare`` values must be left besides. Lengths may contradict each other: then this reads on where pika would.
    """
    try:
        return len(raw) > LARGEST or (len(raw) > LIGHT and _are_heavy(raw, MESSAGE.parts - spare))
    except (IndexError, struct.error):
        return True


def _are_heavy(raw: bytes, most: int) -> bool:
    flags, offset = int.from_bytes(raw[:2]), 2
    if flags & _MORE_FLAGS:
        return True
    for bit in (15, 14):
        # Two short texts may come before the headers.
        if flags >> bit & 1:
            offset += 1 + raw[offset]
    if not flags >> 13 & 1:
        return False
    # Where each open table or array ends, and whether its values have names; the innermost is the last.
    opened = [(offset + 4 + _length(raw, offset), True)]
    offset += 4
    values = 0
    while opened:
        end, named = opened[-1]
        if offset >= end:
            opened.pop()
            continue
        values += 1
        if values > most:
            return True
        if named:
            offset += 1 + raw[offset]
        kind = raw[offset]
        offset += 1
        if kind in (_TABLE, _ARRAY):
            if len(opened) == MESSAGE.depth:
                return True
            opened.append((offset + 4 + _length(raw, offset), kind == _TABLE))
            offset += 4
        elif kind in _TEXTS:
            offset += 4 + _length(raw, offset)
        elif kind in _WIDTHS:
            offset += _WIDTHS[kind]
        else:
            return True
    return False


def _length(raw: bytes, offset: int) -> int:
    length: int = struct.unpack_from(">I", raw, offset)[0]
    return length
