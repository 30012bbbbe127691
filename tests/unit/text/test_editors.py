"""What editors and consoles on Windows leave in files and variables."""

import pytest

from worker.shops.credentials import ReadyToken, SigningKey, ready_token, signing_key
from worker.text.editors import EncodingError, without_bom, without_line_end


@pytest.mark.parametrize("content", [b"s3cret", b"\xef\xbb\xbfs3cret", b"\xef\xbb\xbf\xef\xbb\xbfs3cret\r\n"])
def test_a_mark_and_a_line_end_are_no_part_of_a_secret(content: bytes) -> None:
    """Tokens are signed with what was meant."""
    assert signing_key("k1", content) == SigningKey("k1", b"s3cret")
    assert ready_token(content) == ReadyToken("s3cret")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf_16_is_named(encoding: str) -> None:
    """What a console on Windows redirects to a file is no secret of its own."""
    content = "\ufeffs3cret".encode(encoding) if encoding != "utf-16" else "s3cret".encode(encoding)
    for read in (ready_token, lambda raw: signing_key("k1", raw)):
        with pytest.raises(EncodingError, match=r"^is saved as UTF-16; save it as UTF-8$"):
            read(content)


def test_bytes_that_look_like_a_mark_stay() -> None:
    """A secret of any bytes may begin as UTF-16 does."""
    assert without_bom(b"\xff\xfeof any bytes") == b"\xff\xfeof any bytes"


def test_returns_end_a_variable_only() -> None:
    """A line end within a value is the value's own."""
    assert without_line_end("redis://host/0\r") == "redis://host/0"
    assert without_line_end("one\r\ntwo\r\n") == "one\r\ntwo"
