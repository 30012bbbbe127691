"""The suppression lists as a command changes them: first RabbitMQ's journal, then the store."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from worker.cli import console
from worker.cli.store import shared_store
from worker.errors import ConfigurationError, InputError
from worker.model.controls import EVERY_SHOP
from worker.model.suppression import NO_KEY, UNFINISHED, AddressKey, Suppression
from worker.rabbitmq.connection import Parameters, parameters
from worker.rabbitmq.suppression_journal import MOST_IN_A_CHANGE, Change, SuppressionJournal
from worker.settings import Settings
from worker.store.protocol import Store


class Lists:
    """The lists in one command's hands, up to date with the journal."""

    def __init__(self, store: Store, journal: SuppressionJournal, key: AddressKey) -> None:
        self._store = store
        self._journal = journal
        self._key = key
        known = store.controls().suppression
        if known.key not in {NO_KEY, UNFINISHED, key.fingerprint}:
            raise ConfigurationError(
                "the suppression lists are hashed by another key: set REFERRALS_SUPPRESSION_KEY to that of the workers"
            )
        self.restored = 0
        """Changes that the store had lost, and has again."""
        self.rewritten: bool
        """Whether the journal had lost changes, and has again what they came to."""
        if known.key == UNFINISHED:
            self.restored = self._restore()
        self.rewritten = self._even_out()
        self._number = store.controls().suppression.number

    def change(self, action: Literal["add", "remove"], shop: str, addresses: Sequence[bytes]) -> int:
        """Put addresses on a list or take them off; returns how many this has changed.

        Raises:
          BrokerError, StoreError: the command has to be given again.
        """
        adds = action == "add"
        if shop == EVERY_SHOP:
            # Refused in a cluster, before anything is written down.
            self._store.suppress(shop, (), 0)
        listed = self._store.suppressed(shop, addresses)
        wanted = [address for address, known in zip(addresses, listed, strict=True) if known != adds]
        parts = [wanted[first : first + MOST_IN_A_CHANGE] for first in range(0, len(wanted), MOST_IN_A_CHANGE)]
        changes = [
            Change(number, action, shop, self._key.fingerprint, part)
            for number, part in enumerate(parts, start=self._number + 1)
        ]
        self._journal.append(changes)
        left = len(wanted)
        changed = 0
        for change in changes:
            left -= len(change.addresses)
            changed += self._apply(change, to_come=left)
            self._number = change.number
        if changes:
            self._even_out()
        return changed

    def _apply(self, change: Change, *, to_come: int = 0, whole: bool = True) -> int:
        if change.action == "add":
            return self._store.suppress(change.shop, change.addresses, change.number, to_come=to_come, whole=whole)
        return self._store.unsuppress(change.shop, change.addresses, change.number, whole=whole)

    def _even_out(self) -> bool:
        """Bring each up to date by the other, the store first; returns whether the journal is written anew.

        It is shorter than the number of the last change where RabbitMQ has lost some. It is still longer, once the
        store has all that is in it, where a connection broke and a change arrived twice: workers would take that for
        one which the store lacks.
        """
        known = self._store.controls().suppression
        if known.number < self._journal.length():
            self.restored = self._restore()
            known = self._store.controls().suppression
        if self._journal.length() == known.number:
            return False
        self._journal.rewrite(list(self._written_anew(known)))
        return True

    def _written_anew(self, known: Suppression) -> Iterator[Change]:
        """As many changes as there were, with what the lists came to: each list's last one has the number of its last.

        By that many whoever has heard of them tells that a store has lost some.
        """
        number = 0
        for shop, each in sorted(known.lists.items(), key=lambda found: found[1].number):
            addresses = self._store.entries(shop)
            parts = [
                addresses[first : first + MOST_IN_A_CHANGE] for first in range(0, len(addresses), MOST_IN_A_CHANGE)
            ]
            # A list had no fewer changes than its addresses take now.
            blanks: list[list[bytes]] = [[]] * (each.number - number - len(parts))
            for part in (*blanks, *parts):
                number += 1
                yield Change(number, "add", shop, self._key.fingerprint, part)

    def _restore(self) -> int:
        # While the journal is read it looks empty to others. So from here on no worker calls anybody, until the last
        # change is there.
        self._store.mark_unfinished()
        changes = self._journal.changes()
        if any(change.key != self._key.fingerprint for change in changes):
            raise ConfigurationError(
                "the journal of the suppression lists is of another key: set REFERRALS_SUPPRESSION_KEY to that of the "
                "workers"
            )
        first = changes[0].shop if changes else EVERY_SHOP
        self._store.suppress(first, (), 0, whole=False)
        left = sum(len(change.addresses) for change in changes)
        for change in changes:
            left -= len(change.addresses)
            self._apply(change, to_come=left, whole=change is changes[-1])
        if not changes:
            self._store.suppress(first, (), 0)
        expected = 1
        for change in changes:
            if change.number > expected:
                raise InputError(
                    f"RabbitMQ's journal lacks the changes {expected} to {change.number - 1} of the suppression lists, "
                    "and so does the store now: give every list again"
                )
            expected = change.number + 1
        return len(changes)


def require_key(loaded: Settings) -> AddressKey:
    """What hashes addresses.

    Raises:
      ConfigurationError: there is no key.
    """
    if loaded.address_key is None:
        raise ConfigurationError(
            "addresses are kept as hashes by a key: set REFERRALS_SUPPRESSION_KEY to one secret of 16 characters or "
            "more for every worker and every command, such as `openssl rand -hex 32` prints"
        )
    return loaded.address_key


def connection(loaded: Settings) -> Parameters:
    """The connection of a command that changes lists, as RabbitMQ shows it."""
    return parameters(loaded.amqp_url.get_secret_value(), name="referral-dispatch suppress")


@contextmanager
def opened(loaded: Settings, command: str) -> Iterator[tuple[Store, Lists]]:
    """The store, and the lists for a change; what the store or the journal had lost of them is brought back first.

    Raises:
      ConfigurationError: there is no shared store, no key or another one; or another command is changing the lists.
    """
    key = require_key(loaded)
    with shared_store(loaded, command) as store, SuppressionJournal(connection(loaded)) as journal:
        lists = Lists(store, journal, key)
        if lists.rewritten:
            console.say(
                "RabbitMQ's journal of the suppression lists was not whole; it is written anew from the store's lists"
            )
        if lists.restored:
            console.say(f"the store had lost changes of the suppression lists; all {lists.restored:,} are back")
        yield store, lists
