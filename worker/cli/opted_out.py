"""Which jobs without a result will get none that is worth waiting for: those of suppressed addresses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from worker.cli import console
from worker.cli.store import shared_store
from worker.errors import ConfigurationError, StoreError
from worker.model.controls import EVERY_SHOP

if TYPE_CHECKING:
    from worker.campaigns.rows import DraftJob
    from worker.merging.merged_rows import OptedOut
    from worker.model.suppression import AddressKey
    from worker.settings import Settings
    from worker.store.protocol import Store


@contextmanager
def opted_out(loaded: Settings) -> Iterator[OptedOut | None]:
    """What tells whose addresses are suppressed, by the workers' store; None without it or without the lists' key.

    Nothing is raised: where the store can't be asked a line says so, and nobody counts as suppressed.
    """
    key = loaded.address_key
    if loaded.redis_url is None or key is None:
        yield None
        return
    with ExitStack() as open_until:
        yield _Lists(loaded, key, open_until)


class _Lists:
    def __init__(self, loaded: Settings, key: AddressKey, open_until: ExitStack) -> None:
        self._loaded = loaded
        self._key = key
        self._open_until = open_until
        # None until the first question: a merge whose rows all have their results needs no store.
        self._store: Store | None = None
        self._lists: set[str] = set()
        self._gone = False

    def __call__(self, drafts: Sequence[DraftJob]) -> Sequence[bool]:
        try:
            return [False] * len(drafts) if self._gone else self._found(self._opened(), drafts)
        except (ConfigurationError, StoreError) as error:
            self._gone = True
            console.note(f"rows of suppressed addresses are shown as pending, since the lists can't be asked: {error}")
            return [False] * len(drafts)

    def _opened(self) -> Store:
        if self._store is None:
            self._store = self._open_until.enter_context(shared_store(self._loaded, "merge"))
            lists = self._store.controls().suppression.lists
            self._lists = {of for of, each in lists.items() if each.addresses}
        return self._store

    def _found(self, store: Store, drafts: Sequence[DraftJob]) -> Sequence[bool]:
        asked: defaultdict[str, dict[bytes, bool]] = defaultdict(dict)
        hashes = [self._key.of_job(draft.email, draft.destination) for draft in drafts]
        for draft, of_draft in zip(drafts, hashes, strict=True):
            for of in self._lists & {draft.shop, EVERY_SHOP}:
                asked[of].update(dict.fromkeys(of_draft, False))
        for of, addresses in asked.items():
            each = list(addresses)
            addresses.update(zip(each, store.suppressed(of, each), strict=True))
        return [
            any(asked[of].get(hashed) for of in (draft.shop, EVERY_SHOP) for hashed in of_draft)
            for draft, of_draft in zip(drafts, hashes, strict=True)
        ]
