"""The shop's messages, those alike put together whomever they name. Pure."""

import re
from dataclasses import dataclass, field
from typing import Final

from worker.model.outcomes import Outcome
from worker.text.masking import mask

LONGEST: Final = 300
"""Characters of a message that count."""

MOST: Final = 10_000
"""Kinds of messages that are told apart; messages of further ones are counted together."""

_VARIES = re.compile(r"[\d@/<>{}]|^\W*[^\W\d_a-z]")
"""A word with a digit, an address or a link in it, or one that begins with a capital or a letter without case."""

_PSEUDONYM = re.compile(r"<(address|phone):[0-9a-f]+>")

Key = tuple[Outcome, str | None, str]
"""Outcome and code of the results, and what all messages of a kind have in common."""


@dataclass(slots=True)
class _Slot:
    """Words in a row that may differ between messages of one kind, by those that they begin and end with in all."""

    first: list[str]
    last: list[str]
    varies: bool = False

    @classmethod
    def of(cls, words: list[str]) -> "_Slot":
        return cls(words, words)

    def take(self, words: list[str]) -> None:
        if not self.varies:
            if words == self.first:
                return
        elif len(words) >= len(self.first) + len(self.last):
            # Nearly always, and a fraction of the time that looking for what is common takes.
            rest = len(words) - len(self.last)
            if words[: len(self.first)] == self.first and words[rest:] == self.last:
                return
        # What all begin with is not what they end with as well.
        shortest = len(words) if self.varies else min(len(words), len(self.first))
        self.first = _common(self.first, words)
        last = _common(self.last[::-1], words[::-1])[: shortest - len(self.first)]
        self.last, self.varies = last[::-1], True

    def text(self) -> str:
        return " ".join([*self.first, "…", *self.last] if self.varies else self.first)


@dataclass(slots=True)
class _Kind:
    slots: list[_Slot]
    count: int = 0


@dataclass
class Messages:
    """Counts messages by kind: those of one outcome and code that differ only in names, numbers, addresses and links.

    Words that begin with a capital, or hold a digit, an address or a link, may differ; they are shown as ``…`` where
    they do. The first :data:`MOST` kinds are told apart. Their counts are exact, since each is counted from its first
    message on.
    """

    others: int = 0
    _kinds: dict[Key, _Kind] = field(default_factory=dict)

    def add(self, text: str, outcome: Outcome, code: str | None) -> None:
        """Count a message."""
        skeleton, varying = _taken_apart(text[:LONGEST])
        key = (outcome, code, skeleton)
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) >= MOST:
                self.others += 1
                return
            kind = self._kinds[key] = _Kind([_Slot.of(words) for words in varying])
        else:
            for slot, words in zip(kind.slots, varying, strict=True):
                slot.take(words)
        kind.count += 1

    def most_common(self, most: int) -> list[tuple[str, Outcome, str | None, int]]:
        """The texts of the most common kinds, each with outcome, code and count. Addresses in them are masked."""
        ranked = sorted(
            self._kinds.items(), key=lambda item: (-item[1].count, item[0][0], item[0][1] or "", item[0][2])
        )
        return [
            (_text(skeleton, kind.slots), outcome, code, kind.count)
            for (outcome, code, skeleton), kind in ranked[:most]
        ]

    def of_code(self, outcome: Outcome, code: str) -> str | None:
        """The most common text of results with this outcome and code; None if they have none."""
        kinds = ((skeleton, kind) for (*of, skeleton), kind in self._kinds.items() if of == [outcome, code])
        most = max(kinds, key=lambda item: (item[1].count, item[0]), default=None)
        return _text(most[0], most[1].slots) if most is not None else None

    def rest(self, most: int) -> int:
        """Results whose message is none of the ``most`` most common."""
        counts = sorted((kind.count for kind in self._kinds.values()), reverse=True)
        return sum(counts[most:]) + self.others


_SLOT = "\0"
"""Stands for a slot in a skeleton; no word is made of it, since words are split at it too."""

_BETWEEN = re.compile(r"[\s\0]+")


def _taken_apart(text: str) -> tuple[str, list[list[str]]]:
    """What a message has in common with those of its kind, and the words of each slot in it."""
    skeleton: list[str] = []
    varying: list[list[str]] = []
    for word in _BETWEEN.split(text.strip()):
        if not _VARIES.search(word):
            skeleton.append(word)
        elif skeleton and skeleton[-1] == _SLOT:
            varying[-1].append(word)
        else:
            skeleton.append(_SLOT)
            varying.append([word])
    return " ".join(skeleton), varying


def _text(skeleton: str, slots: list[_Slot]) -> str:
    shown = iter(slots)
    text = " ".join(next(shown).text() if word == _SLOT else word for word in skeleton.split(" "))
    return _PSEUDONYM.sub(r"<\1>", mask(text))


def _common(one: list[str], other: list[str]) -> list[str]:
    same = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        same += 1
    return one[:same]
