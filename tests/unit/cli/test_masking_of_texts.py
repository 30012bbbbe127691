"""What commands show of texts from outside."""

import pytest

from worker.cli.masking import masked

SHOWN: dict[str, tuple[str, str]] = {
    "an address": ("to ann@example.com, then", "to …, then"),
    "in quotes": ('{"x":"ann@example.com"}', '{"x":"…"}'),
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
