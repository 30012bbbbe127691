"""Properties that would take longer to read than a message may cost, told before anything is made of them.

A value may be one byte of a header: decoded, a frame full of them takes 150 ms, and taking them off a copy as long
again. And pika makes one number of all words of flags, in a time that grows with the square of their count. So a
producer's headers have the bounds of its body, and what is beyond them is carried along unread.
"""

import struct

from worker.text.bounds import MESSAGE

LIGHT = 5 * MESSAGE.depth
"""Bytes of properties that can be neither too many nor too deep: a level takes five, a value one."""

_TABLE, _ARRAY, _TEXTS = ord("F"), ord("A"), b"Sx"

_BY_WIDTH = {0: "V", 1: "tbB", 2: "Uus", 4: "Iif", 5: "D", 8: "lLdT"}

_WIDTHS = {ord(kind): width for width, kinds in _BY_WIDTH.items() for kind in kinds}

_MORE_FLAGS = 1


def are_heavy(raw: bytes, spare: int = 0) -> bool:
    """Whether properties have more values or levels than a job's message, or end where a value should begin; so many
    values are to be ``spare`` besides.

    It goes the way that pika goes, also where lengths contradict each other.
    """
    try:
        return len(raw) > LIGHT and _are_heavy(raw, MESSAGE.parts - spare)
    except (IndexError, struct.error):
        return True


def _are_heavy(raw: bytes, most: int) -> bool:
    flags, offset = int.from_bytes(raw[:2]), 2
    if flags & _MORE_FLAGS:
        return True
    for bit in (15, 14):
        # What comes before the headers: two short texts.
        if flags >> bit & 1:
            offset += 1 + raw[offset]
    if not flags >> 13 & 1:
        return False
    # The innermost last: where each ends, and whether its values have names.
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
