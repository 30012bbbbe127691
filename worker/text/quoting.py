"""How much of a configured value an error may quote.

Where a name or a path belongs, somebody may have pasted a secret, and an error line ends up in logs and tickets.
"""

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
    """The text in quotes if it is a word, as names of keys and options are; else only its length."""
    return repr(text) if _WORD.fullmatch(text) else f"a name of {len(text)} characters"


def word(text: str) -> str:
    """The text in quotes if it is a word, as channels and shops are; else a remark that it is none.

    If the wrong column was mapped, the text could be a person's address.
    """
    return repr(text) if _PLAIN_WORD.fullmatch(text) else "that is no plain word"


def path(value: str, folder: Path = Path()) -> str:
    """The path that a value means, for an error; :data:`NOWHERE` if the value may be something else.

    It counts as a path if it exists, if its folder exists, or if it ends as files of keys do, whatever its folder.
    """
    meant = folder / value
    try:
        known = meant.exists() or ("/" in value.strip("/") and meant.parent.is_dir())
    except (OSError, ValueError):
        # The name is too long, or holds a zero byte.
        known = False
    return str(meant) if known or _FILE_NAME.fullmatch(value) else NOWHERE


def without_quotes(text: str) -> str:
    """A library's message without what it quotes of its input; quoted single characters stay."""
    return _QUOTED.sub("'…'", text)
