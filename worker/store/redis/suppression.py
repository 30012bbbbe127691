"""Suppressed addresses on the server: a list for each shop, where the shop is, and one for all shops."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from worker.errors import ConfigurationError, StoreError
from worker.model.controls import EVERY_SHOP
from worker.model.suppression import UNFINISHED, Suppression, hash_of
from worker.store.redis.client import Server
from worker.store.redis.keys import CONTROLS_KEY, LISTS_KEY, list_key, prefix
from worker.store.redis.replies import readable

_MOST_AT_ONCE = 500
"""Addresses in one command: some 2 us each, so that the server is kept from others for a millisecond."""

_SETS_AT_ONCE = 4
"""Sets of a list that are read in one command, for the same reason: they have some 400 addresses each."""

_AT_A_TIME = 10
"""Commands that are sent before the first reply is awaited, so that they share a round trip, far below the time-out."""


class RedisSuppression:
    """The lists, and what this process knows of them.

    A list that the server has lost must not pass for one that was never there. So a process remembers the last change
    that it has heard of each list, and the script that grants calls compares it with the list that it finds.
    ``address_key`` is the fingerprint of the process's key.
    """

    def __init__(self, server: Server, address_key: bytes) -> None:
        self._server = server
        self._address_key = address_key
        self._listed: dict[str, int] = {}

    def expect(self, known: Suppression) -> None:
        """From now on grant no call while a list lacks a change that is in ``known``."""
        for shop, each in known.lists.items():
            self._listed[shop] = max(self._listed.get(shop, 0), each.number)

    def suppress(
        self, shop: str, addresses: Sequence[bytes], number: int, *, to_come: int = 0, whole: bool = True
    ) -> int:
        return self._change("add", shop, addresses, number, to_come, whole=whole)

    def unsuppress(self, shop: str, addresses: Sequence[bytes], number: int, *, whole: bool = True) -> int:
        return self._change("remove", shop, addresses, number, 0, whole=whole)

    def mark_unfinished(self) -> None:
        # No list is made, which would have this process's key.
        self._server.call("listed", [CONTROLS_KEY, LISTS_KEY], [UNFINISHED, 0, EVERY_SHOP, 0])

    def suppressed(self, shop: str, addresses: Sequence[bytes]) -> list[bool]:
        answers = self._in_parts("suppressed", shop, addresses, lambda _: [])
        if any(answer == -1 for answer in answers):
            raise _other_key()
        with readable:
            return [bool(found) for answer in answers for found in answer]

    def look_up(self, shop: str, addresses: Sequence[bytes], reply: Callable[[list[bool] | StoreError], None]) -> None:
        def take(answer: Any) -> None:
            if answer == -1:
                # The gate is closed then, and says so.
                answer = StoreError(str(_other_key()))
            if not isinstance(answer, StoreError):
                try:
                    with readable:
                        answer = [bool(found) for found in answer]
                except StoreError as error:
                    answer = error
            reply(answer)

        self._server.send("suppressed", [list_key(shop)], [prefix(shop), self._address_key, *addresses], take)

    def entries(self, shop: str) -> list[bytes]:
        sizes = self._listing(shop, 0, 0, 0)
        found: list[bytes] = []
        for level, size in enumerate(sizes):
            for first in range(0, 16**level if size else 0, _SETS_AT_ONCE):
                count = min(_SETS_AT_ONCE, 16**level - first)
                found += map(hash_of, self._listing(shop, level, first, count))
        return found

    def _listing(self, shop: str, level: int, first: int, count: int) -> list[int]:
        arguments = [prefix(shop), self._address_key, level, first, count]
        answer = self._server.call("listing", [list_key(shop)], arguments)
        if answer == -1:
            raise _other_key()
        with readable:
            return [int(number) for number in answer]

    def _change(
        self, action: str, shop: str, addresses: Sequence[bytes], number: int, to_come: int, *, whole: bool
    ) -> int:
        total, changed = 0, 0
        for answer in self._in_parts(
            "suppress", shop, addresses, lambda left: [number, action, left + to_come], always=True
        ):
            with readable:
                changed_now, total = answer
            if changed_now == -2:
                raise ConfigurationError(
                    "the store is a cluster, where a list of all shops would be out of reach of the shops: give "
                    "--shop SHOP for each"
                )
            if changed_now < 0:
                raise _other_key()
            changed += changed_now
        key = self._address_key if whole else UNFINISHED
        self._server.call("listed", [CONTROLS_KEY, LISTS_KEY], [key, number, shop, total])
        return changed

    def _in_parts(
        self, script: str, shop: str, addresses: Sequence[bytes], more: Any, *, always: bool = False
    ) -> list[Any]:
        answers: list[Any] = []
        size = _MOST_AT_ONCE * _AT_A_TIME
        for first in range(0, max(len(addresses), int(always)), size):
            asked: list[Future[Any]] = []
            some = addresses[first : first + size]
            for at in range(0, max(len(some), 1), _MOST_AT_ONCE):
                part = some[at : at + _MOST_AT_ONCE]
                left = len(addresses) - first - at - len(part)
                future: Future[Any] = Future()
                arguments = [prefix(shop), self._address_key, *more(left), *part]
                self._server.send(script, [list_key(shop)], arguments, future.set_result)
                asked.append(future)
            for future in asked:
                answer = future.result()
                if isinstance(answer, StoreError):
                    raise answer
                answers.append(answer)
        return answers


def _other_key() -> ConfigurationError:
    return ConfigurationError(
        "the suppression lists are hashed by another key: set REFERRALS_SUPPRESSION_KEY to that of the workers"
    )
