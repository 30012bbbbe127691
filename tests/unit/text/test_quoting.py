"""What an error may quote of a value in whose place a secret may have been pasted."""

from pathlib import Path

import pytest

from worker.text import quoting


def test_paths_are_told_and_secrets_are_not(tmp_path: Path) -> None:
    """What exists, lies in a folder that exists, or is called as key files are is a path; the rest may be anything."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "s3cr3t").touch()
    for value in (
        "keys",
        "keys/acme",
        "s3cr3t",
        "acme.key",
        "tls.crt",
        "no/acme.key",
        "/no/where/tls.crt",
        f"{tmp_path}/acme",
    ):
        assert quoting.path(value, tmp_path) == str(tmp_path / value)
    for value in (
        "",
        "s3cr3t1",
        "/s3cr3t",
        "no/acme",
        "s3cr3t\0",
        "x" * 5000,
        "eyJh.eyJz.c2ln",
        "k.key\n",
        "a+b=/k.key",
    ):
        assert quoting.path(value, tmp_path / "keys") == ("names no file" if value else str(tmp_path / "keys"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("per_secnd", "'per_secnd'"),
        ("ssl-verify", "'ssl-verify'"),
        ("s3cr3t", "a name of 6 characters"),
        ("", "a name of 0 characters"),
        ("a" * 41, "a name of 41 characters"),
        ("ann@example.com", "a name of 15 characters"),
    ],
)
def test_names_are_told_where_they_are_words(text: str, told: str) -> None:
    """A key that is misspelt is a word; what has digits or signs in it may be a secret."""
    assert quoting.name(text) == told


def test_quotes_of_the_input_are_left_out() -> None:
    """The parser's words and the place stay."""
    assert quoting.without_quotes("Cannot declare ('shops', 'a') twice (at line 1, column 2)") == (
        "Cannot declare ('…', 'a') twice (at line 1, column 2)"
    )
    assert quoting.without_quotes('Duplicate inline table key "it\'s"') == "Duplicate inline table key '…'"
