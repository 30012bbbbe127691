"""Whom a run calls, and whether an earlier run with the same files called somebody else."""

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
    """Whom a run calls: the built-in emulator, or each shop at its base URL.

    ``base_url_of`` returns None if the shop's URL is unknown. The emulator has another URL in each run, so its URLs are
    not compared.
    """

    sandbox: bool = False
    base_url_of: Callable[[str], str | None] = _no_url


class CalledBefore:
    """Whom the calls of a journal went to, by its lines of the event ``campaign``.

    Journals of earlier versions don't have that. For them the links of their results tell the emulator from Refer2; a
    journal without links is accepted.
    """

    def __init__(self, path: Path, headers: Iterable[Mapping[str, Any]], results: Iterable[Mapping[str, Any]]) -> None:
        self._path = path
        self._sandbox: bool | None = None
        self._base_urls: dict[str, str] = {}
        # Later lines win: a shop's URL is written at its first answer, in a line after the first one.
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
        """Check that the target is the same as before.

        Mixed with results of a rehearsal, a results file would have links that lead nowhere.

        Raises:
          UsageError: the earlier calls went to the emulator and these don't, or the other way round, or a shop moved.
        """
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
        """Check that the shop is called where it answered before.

        Raises:
          UsageError: it answered at another base URL.
        """
        # An unknown URL on either side is accepted: the shop was never answered, or is gone from the shops file.
        before, now = self._base_urls.get(shop), target.base_url_of(shop)
        if None not in (before, now) and before != now:
            raise UsageError(
                f"{self._path}: shop {shop} was called at {before}, but its base_url is now {now}; set it back to "
                "continue, or choose another --out, with which every row is called again"
            )

    def learn(self, shop: str, target: Target) -> str | None:
        """The base URL at which the shop has answered, to be written to the journal; None if it is already there."""
        now = target.base_url_of(shop)
        if now is None or shop in self._base_urls:
            return None
        self._base_urls[shop] = now
        return now
