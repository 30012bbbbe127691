"""Addresses and secrets are taken out of any text, and the same address is known again."""

import hashlib
import hmac
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import canaries
from worker.errors import DeadLetterError, UsageError
from worker.masking import Mask

KEY = b"a key of sixteen"

TEXTS = {
    "plain": ("to ann@example.com.", "to {}."),
    "in Python's quotes": ("{'email': 'ann@example.com'}", "{{'email': '{}'}}"),
    "after an equals sign": ("email=ann@example.com&x", "email={}&x"),
    "in a URL": ("?q=ann%40example.com", "?q={}"),
    "in wide letters": ("ann＠example.com", "{}"),
    "in capitals": ("<Ann@Example.COM>", "<{}>"),
    "twice": ("ann@example.com,ann@example.com", "{},{}"),
    "after a line end": ("\nann@example.com\r\n", "\n{}\r\n"),
}


@pytest.mark.parametrize(("text", "masked"), TEXTS.values(), ids=TEXTS.keys())
def test_an_address_becomes_its_hash(text: str, masked: str) -> None:
    """However it is written, one address has one hash, by the documented formula, and the text around it stays."""
    digest = hmac.new(KEY, b"ann@example.com", hashlib.sha256).hexdigest()[:12]
    stands_for_it = f"<address:{digest}>"
    assert Mask(KEY)(text) == masked.format(*[stands_for_it] * 2)


@pytest.mark.parametrize("local", ["o'neil", "a.b+c", "jürgen", '"ann lee"', "a_b-c%d", "!#$*^{|}~", "x" * 64])
def test_every_form_of_address(local: str) -> None:
    """Quotes, letters of any script and the signs that addresses may have leave nothing behind."""
    assert re.fullmatch(r"<address:[0-9a-f]{12}>", Mask()(f"{local}@sub.exämple.co.uk"))


def test_another_key_makes_another_hash() -> None:
    """Without the key nobody can tell whom a hash stands for; without a setting each process has its own."""
    assert (
        len({Mask(KEY)("a@b.example"), Mask(KEY[::-1])("a@b.example"), Mask()("a@b.example"), Mask()("a@b.example")})
        == 4
    )


def test_names_of_nodes_stay() -> None:
    """What RabbitMQ says of its nodes is no address."""
    assert Mask()("home node 'rabbit@node1' is down") == "home node 'rabbit@node1' is down"


def test_secrets_in_every_spelling() -> None:
    """A secret is hidden as it is, and as a URL, JSON or Python writes it; a longer one before one within it."""
    secret = 'pä@s"s/wörd'
    mask = Mask()
    mask.hide(secret)
    mask.hide(f"{secret}-and-more")
    for spelled in (
        secret,
        f"{secret}-and-more",
        "p%C3%A4%40s%22s%2Fw%C3%B6rd",
        'p\\u00e4@s\\"s/w\\u00f6rd',
        repr(secret)[1:-1],
    ):
        assert mask(f"<{spelled}>") == "<***>"


def test_raw_secrets() -> None:
    """A secret of bytes that are no text is hidden as Python shows it."""
    mask = Mask()
    secret = b"\xff\x00 eight or more"
    mask.hide(secret)
    assert mask(f"key {secret!r}") == "key b'***'"


def test_words_are_no_secrets() -> None:
    """Too short to be one, and part of much else."""
    mask = Mask()
    mask.hide("guest")
    assert mask("refused for user 'guest'") == "refused for user 'guest'"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("amqp://me:pw@host/x", "amqp://host/x"),
        ("http://me:p@w@host:80?q", "http://host:80?q"),
        ("Authorization: Bearer a.b-c_d=", "Authorization: Bearer ***"),
        ("proxy-authorization: basic dTpw", "proxy-authorization: basic ***"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln ends", "token *** ends"),
    ],
)
def test_what_looks_like_a_secret(text: str, masked: str) -> None:
    """Users of URLs, authorization headers and tokens are hidden though nobody told of them."""
    assert Mask()(text) == masked


@given(st.text(), st.from_regex(r"[a-z0-9.+_-]{1,20}@[a-z0-9]{1,10}\.[a-z]{2,3}", fullmatch=True), st.text())
def test_no_text_hides_an_address(before: str, address: str, after: str) -> None:
    """Whatever stands around an address, it is gone, and masking again changes nothing."""
    mask = Mask(KEY)
    masked = mask(f"{before} {address} {after}")
    assert address not in masked
    assert list(canaries.leaks(f" {mask(address)} ")) == []
    assert mask(masked) == masked


SEPARATORS = ["|", "#", "!", "$", "*", "~", "}{", "'", '"', "%2C", "%0A", "&", "=", "/", "<", "＠", "\\n"]


@given(st.lists(st.sampled_from(SEPARATORS), min_size=1, max_size=3).map("".join), st.integers(0, 2000))
def test_no_address_hides_behind_another(between: str, length: int) -> None:
    """Whatever stands between two, and however long the run of signs before the first."""
    masked = Mask(KEY)(f"{'x' * length}ann@example.com{between}bob%40example.org{between}")

    assert "ann" not in masked
    assert "example.org" not in masked
    assert "bob" not in masked


@pytest.mark.parametrize(
    "text", ["a" * 500_000, "a'" * 250_000, "a@" * 250_000, "a@a." * 125_000, "eyJ" * 170_000, "://x" * 125_000]
)
def test_a_long_text_takes_no_time(text: str) -> None:
    """Half a megabyte of what nearly matches is read once, not once for each character."""
    began = time.thread_time()
    Mask()(text)
    assert time.thread_time() - began < 5


def test_our_errors_are_masked() -> None:
    """What quotes its input in an error shows no address: neither the line nor a dead letter's detail."""
    assert "ann@example.com" not in str(UsageError("--map ann@example.com: unknown field"))
    dead = DeadLetterError("bad_schema", "customer ann@example.com")
    assert "ann@example.com" not in f"{dead} {dead.detail} {dead!r} {dead.args}"
