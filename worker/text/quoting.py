"""What of a configured value an error may quote: where a name or a path belongs, somebody may have pasted a secret."""

import re
from pathlib import Path

NOWHERE = "names no file"

_PLAIN_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
_WORD = re.compile(r"[A-Za-z][A-Za-z_-]{0,39}")
_FILE_NAME = re.compile(
    r"(?:[\w.-]{0,40}/){0,10}[\w-]{1,40}(?:\.[\w-]{1,10}){0,2}\.(?:crt|jwt|key|pem|secret|token|toml|txt)", re.ASCII
)
_QUOTED = re.compile(r"'[^']{2,}'|\"[^\"]{2,}\"")


def name(text: str) -> str:
    """The text in quotes where it is a word, as names of keys and options are; else only how long it is."""
    return repr(text) if _WORD.fullmatch(text) else f"a name of {len(text)} characters"


def word(text: str) -> str:
    """The text in quotes where it is a word, as channels and shops are; else that it is none.

    What stands in its place, with the wrong column mapped, could be a person's address.
    """
    return repr(text) if _PLAIN_WORD.fullmatch(text) else "that is no plain word"


def path(value: str, folder: Path = Path()) -> str:
    """The path that a value means, for an error; :data:`NOWHERE` where the value may be anything but a path.

    A path is what exists, what lies in a folder that does, and what ends as files of keys do, in whichever folder.
    """
    meant = folder / value
    try:
        known = meant.exists() or ("/" in value.strip("/") and meant.parent.is_dir())
    except (OSError, ValueError):
        # A name that is too long, or has a zero byte.
        known = False
    return str(meant) if known or _FILE_NAME.fullmatch(value) else NOWHERE


def without_quotes(text: str) -> str:
    """A library's message without what it quotes of its input, but for single characters."""
    return _QUOTED.sub("'…'", text)
