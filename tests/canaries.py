"""Looks for personal data and secrets where none may be: in logs, on metrics pages, in the headers of messages.

For any suite whose processes run with REFERRALS_LOG_LEVEL=DEBUG::

    from tests import canaries

    canaries.assert_clean(folder, secrets=[amqp_password, shop_secret])

reads every file below ``folder`` that :data:`SUFFIXES` names; write what is not a file yet into one first, such as a
page of ``/metrics`` (``page.prom``) or the headers of dead letters (``canaries.save_headers(folder / "dead.headers",
headers)``). Any text that looks like an e-mail address, an international
telephone number or a token is a leak; ``secrets`` are looked for in every
spelling in which a program may write them. Results, journals, rejected rows and the sandbox's log hold addresses by
right and have other suffixes.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

SUFFIXES = frozenset({".out", ".err", ".log", ".prom", ".headers"})

_ADDRESS = re.compile(
    r"[^\s@<>\"'(){}\[\],;:=]+(?:(?:@|%40|\\u0040|＠|=40(?=[\w.-]+\.[a-z]{2,}))[\w-]+(?:\.[\w-]+)+|@localhost\b|@\[)"
)
_NODE = re.compile(r"rd-[0-9a-f]+@localhost|rabbit@localhost")
_PHONE = re.compile(r"(?:\+|%2B)[1-9]\d{7,14}\b", re.IGNORECASE)
_TOKEN = re.compile(r"\beyJ[\w-]{8,}|(?:Bearer|Basic) +[\w.~+/=-]{8,}", re.IGNORECASE)


def leaks(text: str, secrets: Iterable[str] = ()) -> Iterator[str]:
    """What stands in a text and must not, each with its line's number."""
    spellings = {spelling for secret in secrets for spelling in _spellings(secret)}
    for number, line in enumerate(text.split("\n"), start=1):
        found = [match[0] for pattern in (_ADDRESS, _TOKEN, _PHONE) for match in pattern.finditer(line)]
        found = [leak for leak in found if not _NODE.search(leak)]
        for leak in found + [spelling for spelling in spellings if spelling in line]:
            yield f"line {number}: {leak!r} in {line[:300]!r}"


def assert_clean(folder: Path, *, secrets: Iterable[str] = (), at_least: int = 1) -> int:
    """Fail with every leak in the files below a folder; returns how many characters were read.

    ``at_least`` is how many files with something in them there must be, so that a scan of nothing passes for nothing.
    """
    known = tuple(secrets)
    texts = {path: path.read_text(errors="backslashreplace") for path in sorted(folder.rglob("*")) if _read(path)}
    told = [f"{path.relative_to(folder)}: {leak}" for path, text in texts.items() for leak in leaks(text, known)]
    assert not told, "\n".join(told)
    read = [path for path, text in texts.items() if text.strip()]
    assert len(read) >= at_least, f"only {len(read)} files with anything to scan in {folder}"
    return sum(map(len, texts.values()))


def save_headers(path: Path, headers: Iterable[Mapping[str, Any]]) -> None:
    """Write the headers of messages into a file for the scan."""
    path.write_text("".join(json.dumps(one, default=repr, ensure_ascii=False) + "\n" for one in headers))


def _read(path: Path) -> bool:
    return path.suffix in SUFFIXES and path.is_file()


def _spellings(secret: str) -> set[str]:
    raw = secret.encode()
    encoded = {base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("=")}
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1], raw.hex()} | encoded
