"""Warnings about an import, each once, however many rows cause it."""

from worker.text import quoting

_VALUES = 20
"""Values of a kind that are listed. A column of a million different texts must not become a million lines."""


class ImportWarnings:
    """Collects warnings as lines in :attr:`texts`; at most :data:`_VALUES` values of each kind are listed."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._kinds: set[str] = set()
        self._values: dict[str, set[str]] = {}

    def once(self, kind: str, text: str) -> None:
        """Add a warning, unless there is one of this ``kind``."""
        if kind not in self._kinds:
            self._kinds.add(kind)
            self.texts.append(text)

    def met(self, kind: str) -> bool:
        """Whether there is a warning of this ``kind``."""
        return kind in self._kinds

    def value(self, kind: str, value: str, text: str) -> None:
        """Add a warning about a ``value``, unless its ``kind`` has one; ``{}`` in ``text`` stands for the value."""
        # Quoted first: two values that look alike on the screen count as one.
        shown = quoting.word(value)
        seen = self._values.setdefault(kind, set())
        if shown in seen or len(seen) > _VALUES:
            return
        seen.add(shown)
        self.texts.append(text.format(shown) if len(seen) <= _VALUES else f"more such values of {kind} are not listed")
