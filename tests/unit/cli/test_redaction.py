"""What commands show of texts from outside."""

import json
from typing import Any

import pytest

from worker.cli.redaction import DEEPER, masked, plain

SHOWN: dict[str, tuple[str, str]] = {
    "an address": ("to ann@example.com, then", "to a…@e….com, then"),
    "in quotes": ('{"x":"ann@example.com"}', '{"x":"a…@e….com"}'),
    "in a URL": ("ann%40example.com", "…"),
    "in JSON's escapes": ("ann\\u0040example.com ann\\U0040x", "… …"),
    "on a page": ("<b>ann&#64;example.com</b>", "<b>…</b>"),
    "two at once": ("a&#64;b&#64;c", "…"),
    "none": ("nobody &#65; here; (not) at all", "nobody &#65; here; (not) at all"),
}


@pytest.mark.parametrize(("text", "shown"), SHOWN.values(), ids=SHOWN.keys())
def test_masked(text: str, shown: str) -> None:
    """The word that holds an address's sign is masked, in whatever form the sign is written."""
    assert masked(text) == shown


def test_a_text_of_megabytes() -> None:
    """A text without an end is looked through once: a letter of megabytes would hold a command up for days else."""
    assert masked("a" * 4_000_000) == "a" * 4_000_000
    assert masked("a" * 4_000_000 + "@") == "…"


def test_what_nests_without_an_end() -> None:
    """Lists and tables are followed for so many levels, for which any stack is large enough, and shown so far."""
    deep: Any = "bottom"
    for level in range(100_000):
        deep = [deep] if level % 2 else {"a": deep}
    for shown in (masked(deep), plain({"h": deep, "beside": 1})):
        assert json.dumps(shown).count(DEEPER) == 1
        assert "bottom" not in json.dumps(shown)
    assert masked([["ann@example.com"]]) == plain([["a…@e….com"]]) == [["a…@e….com"]]
    while isinstance(deep, list | dict):
        # From the outside in: let go at once, it would be taken apart level by level in C.
        deep = deep.popitem()[1] if isinstance(deep, dict) else deep.pop()


def test_a_persons_fields() -> None:
    """An address is shown as a plan shows it; a name, a number or two addresses at once are not shown at all."""
    shown = {"email": "ann@example.com", "destination": "+49 151 1234567", "sender": "Jo"}
    assert masked({"customer": shown}) == {"customer": {"email": "a…@e….com", "destination": "…", "sender": "…"}}
    assert masked({"destination": "ann@example.com,bob@example.com", "email": None}) == {
        "destination": "…",
        "email": None,
    }
