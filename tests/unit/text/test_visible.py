"""Text from outside is visible on screens and in files, and files give it back."""

import json
import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests import hostile
from worker.text.visible import ascii_json, escaped, is_plain, is_unseen, one_line, to_json, unescaped


def test_what_is_unseen() -> None:
    """Every control, format and separator of Unicode, and the letters that are drawn as nothing; no space, no mark."""
    assert all(map(is_unseen, hostile.CHARACTERS))
    every = map(chr, range(sys.maxunicode + 1))
    steering = {sign for sign in every if unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
    assert all(map(is_unseen, steering))
    assert not any(map(is_unseen, "aé春ع \u00a0\u3000❤\ufe0f\u0301😀"))


@given(st.text(st.characters()))
@example(hostile.TEXT)
def test_screens(text: str) -> None:
    """One line without anything unseen, whatever comes; what can be seen stays."""
    shown = one_line(text)
    assert not any(map(is_unseen, shown))
    assert not list(hostile.raw(shown.encode(errors="surrogatepass")))
    assert is_plain(text) == (shown == text)


ESCAPES = st.sampled_from(
    ["\\", "n", "\\n", "\\x1b", "\\u202e", "\\U000e0041", "\\\\", "x", "u", "\n", "\u202e", "a", "\x7f"]
)


@given(st.one_of(st.text(st.characters()), st.lists(ESCAPES).map("".join)))
@example(hostile.TEXT)
@example("C:\\new")
def test_files_give_it_back(text: str) -> None:
    """Escapes are visible, and stand for exactly one text; also where the text looks like an escape itself."""
    written = escaped(text)
    assert not any(map(is_unseen, written))
    assert unescaped(written) == text


@pytest.mark.parametrize("text", ["plain", "DOMAIN\\user", "50 % \\o/", "ünï 😀", "a\\xZZ"])
def test_other_backslashes_stay(text: str) -> None:
    """Nothing changes in a text that holds nothing unseen and reads like no escape."""
    assert escaped(text) == text == unescaped(text)


def test_the_documented_form() -> None:
    """As docs/personal-data.md has it."""
    assert escaped("a\n\r\t\x1b\x7f\u202e\U000e0041\\") == r"a\n\r\t\x1b\x7f\u202e\U000e0041\\"
    assert escaped("C:\\new") == r"C:\\new"


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(JSONS, st.booleans(), st.sampled_from([None, 2, "\t"]))
def test_json(value: object, in_ascii: bool, indent: int | str | None) -> None:
    """JSON of any spelling is the same value, visible and in one line."""
    assert json.loads(to_json(value)) == value
    assert is_plain(to_json(value))
    written = ascii_json(json.dumps(value, ensure_ascii=in_ascii, indent=indent))
    assert json.loads(written) == value
    assert is_plain(written)
