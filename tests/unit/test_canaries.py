"""The scan for personal data and secrets finds what it is to find."""

import base64
from pathlib import Path

import pytest

from tests import canaries

SECRET = 'p@ss"word/1'

LEAKS = {
    "an address": "to ann@example.com now",
    "in a URL": "q=ann%40example.com",
    "in JSON of others": '{"to": "ann\\u0040example.com"}',
    "in wide letters": "ann＠example.com",
    "quoted-printable": "to ann=40example.com now",
    "of this machine": "to ann@localhost now",
    "of an address of the network": "to ann@[127.0.0.1] now",
    "a telephone number": "to +4915112345678 now",
    "a token": "eyJhbGciOiJIUzI1NiJ9.e30.x",
    "a header": "Authorization: Bearer 0123456789abcdef",
    "a secret": f"password {SECRET} refused",
    "a secret in a URL": "amqp://me:p%40ss%22word%2F1@host",
    "a secret in JSON": '{"p": "p@ss\\"word/1"}',
    "a secret in Base64": base64.b64encode(SECRET.encode()).decode(),
}


@pytest.mark.parametrize("text", LEAKS.values(), ids=LEAKS.keys())
def test_leaks_are_found(tmp_path: Path, text: str) -> None:
    """Each kind of leak fails the scan, which names file and line."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "work.err").write_text(f"fine\n{text}\n")
    with pytest.raises(AssertionError, match=r"deep/work\.err: line 2"):
        canaries.assert_clean(tmp_path, secrets=[SECRET])


def test_clean_files_pass(tmp_path: Path) -> None:
    """Node names, masked addresses and files that hold addresses by right are no leaks."""
    (tmp_path / "work.err").write_text("node rabbit@node1, customer <address:3f9a1c04d2b7>, amqp://host.example.com\n")
    (tmp_path / "results.csv").write_text("ann@example.com\n")
    assert canaries.assert_clean(tmp_path, secrets=[SECRET]) > 0


def test_a_scan_of_nothing_fails(tmp_path: Path) -> None:
    """A suite that writes its logs elsewhere would scan nothing for ever."""
    with pytest.raises(AssertionError, match="only 0 files"):
        canaries.assert_clean(tmp_path)


def test_headers_are_scanned(tmp_path: Path) -> None:
    """Whatever types headers have, their texts are looked at."""
    canaries.save_headers(tmp_path / "dead.headers", [{"x-referral-detail": b"ann@example.com"}])
    with pytest.raises(AssertionError, match=r"ann@example\.com"):
        canaries.assert_clean(tmp_path)
