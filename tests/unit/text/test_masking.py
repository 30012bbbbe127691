"""Addresses and secrets are masked in any text, and the same address gets the same pseudonym."""

import hashlib
import hmac
import re
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import canaries
from worker.errors import DeadLetterError, UsageError
from worker.text.masking import Mask, hint

KEY = b"a key of sixteen"

TEXTS = {
    "plain": ("to ann@example.com.", "to {}."),
    "in Python's quotes": ("{'email': 'ann@example.com'}", "{{'email': '{}'}}"),
    "after an equals sign": ("email=ann@example.com&x", "email={}&x"),
    "in a URL": ("?q=ann%40example.com", "?q={}"),
    "in a URL in a URL": ("?q=ann%2540example.com", "?q={}"),
    "in wide letters": ("ann＠example.com", "{}"),
    "in a mail": ("to ann=40example.com.", "to {}."),
    "in a page": ("to ann&#x40;example.com, ann&commat;example.com", "to {}, {}"),
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


@pytest.mark.parametrize(
    "address",
    ["user@localhost", "user%40localhost", "jo@[127.0.0.1]", "jo@[IPv6:2001:db8::1]", "jo@intranet", '"a b"@localhost'],
)
def test_domains_without_a_dot(address: str) -> None:
    """A machine's own name and an address of the network are domains like any other."""
    assert re.fullmatch(r"to <address:[0-9a-f]{12}>, twice", Mask()(f"to {address}, twice"))


PHONES = [
    "+4915112345678",
    "+49 151 1234 5678",
    "+49 (0)151/12345-678",
    "%2B49%20151%2012345678",
    "\\u002b4915112345678",
    "＋４９１５１１２３４５６７８",
    "+1 (555) 234-5678",
    "+1.555.234.5678",
    "0049 151 12345678",
    "004915112345678",
    "0151 12345678",
    "0151/1234-5678",
    "(030) 1234 5678",
    "06 12 34 56 78",
    "06.12.34.56.78",
    "020 7946 0958",
    "(555) 234-5678",
    "555-234-5678",
    "1-555-234-5678",
]


@pytest.mark.parametrize("around", ["{}", "to {}.", '{{"destination":"{}"}}', "q={}&x=1", "tel:{}", "('{}',)", "{}\n"])
@pytest.mark.parametrize("number", PHONES)
def test_telephone_numbers(number: str, around: str) -> None:
    """However a person writes it and wherever it stands, no digit of it is left, and the text around it is."""
    masked = Mask(KEY)(around.format(number))
    assert re.fullmatch(re.escape(around.format("PHONE")).replace("PHONE", "<phone:[0-9a-f]{12}>"), masked), masked


def test_one_number_has_one_hash() -> None:
    """So that one customer can be followed; by the documented formula over the digits."""
    digest = hmac.new(KEY, b"4915112345678", hashlib.sha256).hexdigest()[:12]
    spellings = ["+4915112345678", "+49 151 1234-5678", "%2B49%20151%2012345678", "＋４９１５１１２３４５６７８"]
    assert {Mask(KEY)(spelled) for spelled in spellings} == {f"<phone:{digest}>"}


_GROUPS = st.lists(st.from_regex(r"[0-9]{2,3}", fullmatch=True), min_size=2, max_size=3)


@given(st.integers(10, 99), _GROUPS, st.sampled_from([" ", "-", ".", "/", "", "%20", "\u00a0"]), st.text(), st.text())
def test_no_text_hides_a_number(country: int, groups: list[str], between: str, before: str, after: str) -> None:
    """Whatever separates its groups, and whatever stands around it; masking again changes nothing."""
    number = between.join([f"+{country}", "30", *groups])
    mask = Mask(KEY)
    masked = mask(f"{before} {number} {after}")
    assert number not in masked or len(re.sub(r"%20|\D", "", number)) < 8
    assert mask(masked) == masked


_TIMES = st.builds(
    lambda seconds, zone: datetime.fromtimestamp(seconds, zone),
    st.floats(0, 4_000_000_000),
    st.sampled_from([UTC, timezone(timedelta(hours=2))]),
)
NO_PHONES = {
    "job ids": st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
    "ids of digits": st.integers(10**31, 10**32 - 1).map(str),
    "UUIDs": st.uuids().map(str),
    "times": _TIMES.map(lambda at: at.isoformat()),
    "times with a zone": _TIMES.map(str),
    "German dates": _TIMES.map("{:%d.%m.%Y %H:%M}".format),
    "ports": st.integers(1, 65_535).map("10.0.0.1:{}".format),
    "addresses of the network": st.ip_addresses().map(str),
    "counts": st.integers(0, 10**15).map("{:,}".format),
    "plain counts": st.integers(0, 10**15).map(str),
    "codes": st.integers(100, 599).map("status={}".format),
    "amounts": st.decimals(-(10**9), 10**9, places=2).map("{} EUR".format),
    "durations": st.floats(0, 10**6).map("took={:.3f}s".format),
    "versions": st.tuples(*[st.integers(0, 99)] * 3).map(lambda parts: ".".join(map(str, parts))),
    "our hashes": st.from_regex(r"<(address|phone):[0-9]{12}>", fullmatch=True),
}


@pytest.mark.parametrize("kind", NO_PHONES)
def test_other_digits_stay(kind: str) -> None:
    """What a log is read for is not eaten: ids, times, ports, counts, amounts and what masks put there."""

    @given(NO_PHONES[kind])
    def stays(text: str) -> None:
        assert Mask(KEY)(f"{kind} {text}, then") == f"{kind} {text}, then"

    stays()


def test_another_key_makes_another_hash() -> None:
    """Without the key nobody can find out whom a hash stands for; without a setting each process has its own key."""
    assert (
        len({Mask(KEY)("a@b.example"), Mask(KEY[::-1])("a@b.example"), Mask()("a@b.example"), Mask()("a@b.example")})
        == 4
    )


def test_names_of_nodes_stay() -> None:
    """The name of a RabbitMQ node is no address; with a dot in it, it can't be distinguished from one."""
    text = "home node 'rabbit@node1' is down, rabbit@localhost, rabbit-2@node_2"
    assert Mask()(text) == text
    assert "rabbit" not in Mask()("rabbit@example.com")


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
    """Users in URLs, authorization headers and tokens are masked, though nobody passed them to hide()."""
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
    "text",
    [
        "a" * 500_000,
        "a'" * 250_000,
        "a@" * 250_000,
        "a@a." * 125_000,
        "eyJ" * 170_000,
        "://x" * 125_000,
        "+1 " * 170_000,
        "0151 " * 100_000,
        "=40a" * 125_000,
    ],
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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ann.lee@mail.example.org", "a…@m….org"),
        ("7223120301", "722…301"),
        ("4711", "4…1"),
        ("#REF!", "#REF!"),
    ],
)
def test_nobody_can_be_found_by_what_is_shown(text: str, shown: str) -> None:
    """Ids and addresses are shown by their ends; an error of a spreadsheet is shown whole."""
    assert hint(text) == shown
