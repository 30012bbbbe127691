"""Archives as other programs write them, and as nobody should."""

import io
import struct
import zipfile
import zlib


def zipped(members: dict[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive of these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def with_password(archive: bytes) -> bytes:
    """The archive with each member marked as encrypted."""
    data = bytearray(archive)
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + flags] |= 1
            at = data.find(mark, at + 1)
    return bytes(data)


def nameless(content: bytes) -> bytes:
    """An archive whose one member has no name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        member = zipfile.ZipInfo("a")
        member.filename = ""
        archive.writestr(member, content)
    return buffer.getvalue()


def shortened(content: bytes, size: int, *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive that tells a size of its member, and a checksum, that are right for its first bytes only."""
    data = bytearray(zipped({"a.csv": content}, compression=compression))
    entry = data.find(b"PK\x01\x02")
    struct.pack_into("<L", data, entry + 16, zlib.crc32(content[:size]))
    struct.pack_into("<L", data, entry + 24, size)
    return bytes(data)


def overlapping(content: bytes, members: int) -> bytes:
    """An archive in which all members are the same bytes of the file."""
    one = zipped({"a.csv": content})
    directory = one.find(b"PK\x01\x02")
    end = one.rfind(b"PK\x05\x06")
    entry = one[directory:end]
    size = len(entry) * members
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, members, members, size, directory, 0)
    return one[:directory] + entry * members + tail
