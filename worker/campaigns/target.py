"""Whom a run calls, and whether that is whom an earlier run called into the same files."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.errors import UsageError
from worker.model.rehearsal import is_rehearsed


def _no_url(shop: str) -> str | None:
    del shop
    return None


@dataclass(frozen=True, slots=True)
class Target:
    """The built-in emulator, which is somewhere else each time, or each shop at its base URL (None: not known)."""

    sandbox: bool = False
    base_url_of: Callable[[str], str | None] = _no_url


class CalledBefore:
    """Whom the calls of a journal went to: what it says itself, in the lines of the event ``campaign``.

    A journal from before that was written down says it by the links of its results, if it has any. One that doesn't
    say is gone on with.
    """

    def __init__(self, path: Path, headers: Iterable[Mapping[str, Any]], results: Iterable[Mapping[str, Any]]) -> None:
        self._path = path
        self._sandbox: bool | None = None
        self._base_urls: dict[str, str] = {}
        for line in headers:
            sandbox, shop, url = line.get("sandbox"), line.get("shop"), line.get("base_url")
            if isinstance(sandbox, bool):
                self._sandbox = sandbox
            if isinstance(shop, str) and isinstance(url, str):
                self._base_urls[shop] = url
        if self._sandbox is None:
            linked = (result for result in results if isinstance(result.get("referral"), dict))
            self._sandbox = next(map(is_rehearsed, linked), None)

    def refuse_other(self, target: Target) -> None:
        """Raises UsageError where the target is another than before."""
        if self._sandbox is True and not target.sandbox:
            raise UsageError(
                f"{self._path}: holds a rehearsal with --sandbox, in which nobody was called; choose another --out for "
                "the real run"
            )
        if self._sandbox is False and target.sandbox:
            raise UsageError(
                f"{self._path}: holds the calls of a real run; choose another --out for a rehearsal with --sandbox"
            )
        for shop in self._base_urls:
            self.refuse_moved(shop, target)

    def refuse_moved(self, shop: str, target: Target) -> None:
        """Raises UsageError where the shop answered at another URL before."""
        before, now = self._base_urls.get(shop), target.base_url_of(shop)
        if None not in (before, now) and before != now:
            raise UsageError(
                f"{self._path}: shop {shop} was called at {before}, but its base_url is now {now}; set it back to "
                "continue, or choose another --out, with which every row is called again"
            )

    def learn(self, shop: str, target: Target) -> str | None:
        """The base URL at which a shop has answered, to be written down; None where that is done."""
        now = target.base_url_of(shop)
        if now is None or shop in self._base_urls:
            return None
        self._base_urls[shop] = now
        return now
