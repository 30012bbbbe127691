"""Which jobs without a result will get none that is worth waiting for: those of suppressed addresses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from worker.cli import console
from worker.cli.store import shared_store
from worker.errors import BrokerError, ConfigurationError, StoreError
from worker.model.controls import EVERY_SHOP
from worker.model.suppression import NO_KEY, UNUSABLE

if TYPE_CHECKING:
    from worker.campaigns.rows import DraftJob
    from worker.merging.merged_rows import OptedOut
    from worker.settings import Settings
    from worker.store.protocol import Store


@contextmanager
def opted_out(loaded: Settings) -> Iterator[OptedOut | None]:
    """What tells whose addresses are suppressed, by the workers' store; None without it.

    Nothing is raised: where the store can't be asked, or its lists can't be relied on, a line says so with the remedy,
    and who isn't found there doesn't count as suppressed.
    """
    if loaded.redis_url is None:
        yield None
        return
    with ExitStack() as open_until:
        yield _Lists(loaded, open_until)


class _Lists:
    def __init__(self, loaded: Settings, open_until: ExitStack) -> None:
        self._loaded = loaded
        self._key = loaded.address_key
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
            # Before the store, since the journal has each change first.
            changes = self._changes()
            known = self._store.controls().suppression
            problem = known.unusable(self._key.fingerprint if self._key is not None else NO_KEY, changes)
            if problem == "lost":
                # What it still has is told all the same.
                console.note(f"rows of suppressed addresses may be shown as pending, since {UNUSABLE[problem]}")
            elif problem is not None:
                raise ConfigurationError(UNUSABLE[problem])
            self._lists = {of for of, each in known.lists.items() if each.addresses}
        return self._store

    def _changes(self) -> int:
        """How many changes RabbitMQ's journal of the lists has; 0 where it can't be asked."""
        if "amqp_url" not in self._loaded.model_fields_set:
            return 0
        # Imported when used: a merge whose rows all have their results needs no pika.
        from worker.cli.suppress.lists import connection
        from worker.rabbitmq.suppression_journal import journal_length

        try:
            return journal_length(connection(self._loaded))
        except (BrokerError, ConfigurationError):
            return 0

    def _found(self, store: Store, drafts: Sequence[DraftJob]) -> Sequence[bool]:
        if self._key is None:
            return [False] * len(drafts)
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
