"""Warnings about an import, each once, however many rows give cause for it."""

from worker.text import quoting

_VALUES = 20


class ImportWarnings:
    """Collects the lines in :attr:`texts`. What rows say is bounded to 20 values of each kind."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._kinds: set[str] = set()
        self._values: dict[str, set[str]] = {}

    def once(self, kind: str, text: str) -> None:
        """A warning that is given one time for its ``kind``."""
        if kind not in self._kinds:
            self._kinds.add(kind)
            self.texts.append(text)

    def value(self, kind: str, value: str, text: str) -> None:
        """A warning that is given one time for each ``value`` of its ``kind``; ``{}`` in ``text`` stands for it."""
        shown = quoting.word(value)
        seen = self._values.setdefault(kind, set())
        if shown in seen or len(seen) > _VALUES:
            return
        seen.add(shown)
        self.texts.append(text.format(shown) if len(seen) <= _VALUES else f"more such values of {kind} are not listed")
