"""Addresses: the short way and the library agree."""

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given
from hypothesis import strategies as st

from worker.campaigns.addresses import is_address

LABEL = st.text("abZ09-.é_", max_size=8) | st.sampled_from(["example", "xn--bcher-kva", "xn--a", "ab--c", "1", "com"])
LOCAL = st.text("abZ09.+-_'\" (é", max_size=12)


def accepted(text: str) -> bool:
    try:
        validate_email(text, check_deliverability=False)
    except EmailNotValidError:
        return False
    return True


@given(local=LOCAL, labels=st.lists(LABEL, max_size=4), at=st.sampled_from(["@", "@@", ""]))
def test_agrees_with_the_library(local: str, labels: list[str], at: str) -> None:
    """Whatever is put together from the parts of addresses, the answer is email-validator's."""
    text = local + at + ".".join(labels)
    assert is_address(text) == accepted(text)


@pytest.mark.parametrize(
    "text",
    [
        "one@example.com",
        "o'neil+tag@Sub.Example.COM",
        "zoë@bücher.example.com",
        "a..b@example.com",
        ".a@example.com",
        "a@example",
        "a@example.com.",
        "a@localhost",
        "a@-example.com",
        "a@example.1",
        "a@[127.0.0.1]",
        "a@xn--a.com",
        f"{'a' * 180}@{'é' * 50}.com",
        f"{'a' * 180}@{('é' * 50).encode('idna').decode()}.com",
        '"a b"@example.com',
        "Anna <a@example.com>",
        "a@example.com\n",
        "x" * 242 + "@example.com",
        "x" * 243 + "@example.com",
        "a@" + ".".join(["x" * 63] * 4),
        "a" * 10_000,
        "",
    ],
)
def test_corner_cases(text: str) -> None:
    """Lengths, reserved names, quoting and the like are the library's answer too."""
    assert is_address(text) == accepted(text)
