"""Bounds the number of series, however many shops there are and whatever codes the outside world makes up.

A pod with ``SHOPS`` shops shows at most ``SHOP_SERIES`` series a shop from the start, ``EXTRA_SERIES`` that appear with
use, and about 300 without a shop: under 30,000.
"""

import re
from collections.abc import Mapping

from worker.model.verdicts import DOCUMENTED_CODES, Verdict, label_of

RESPONSE_CODES: tuple[str, ...] = ("ok", *DOCUMENTED_CODES, "other")
"""Values of the ``code`` label that every shop shows from the start, at 0."""

SHOPS = 1000
"""Shops that have a label of their own, unless a setting allows fewer."""

SHOP_SERIES = len(RESPONSE_CODES) + 13
"""Series that a shop shows from the start: one for each code, and 13 others (25 in all)."""

OTHER_SHOPS = "_other"
"""The label that all further shops share; no slug begins with an underscore."""

ALL_SHOPS = "_all"
"""The label of what concerns every shop, or none in particular."""

UNLISTED_CODES = 20
"""Codes of shops' own rules that are shown by name: the first that a process meets. The rest count as ``other``."""

EXTRA_SERIES = 29_000 - SHOPS * SHOP_SERIES
"""Series with a shop that appear with use, such as another code or a reason to be closed (4,000). A process shows so
many; then it counts under ``other`` or :data:`OTHER_SHOPS`. A new documented code takes its series from these."""

_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")


class ShopLabels:
    """Which shops have a label of their own: the fastest by the shops file. They keep it while the process lives."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._labels: dict[str, str] = {}

    def admit(self, rates: Mapping[str, float]) -> None:
        """Give the labels that are left to shops without one, the fastest first (``rates``: calls a second)."""
        new = sorted((slug for slug in rates if slug not in self._labels), key=lambda slug: -rates[slug])
        for slug in new[: self._free]:
            self._labels[slug] = slug
        self._free = max(0, self._free - len(new))

    def of(self, shop: str) -> str:
        """The shop's label."""
        return self._labels.get(shop, OTHER_SHOPS)


class CodeLabels:
    """Labels of verdicts: documented codes, our own, and a few of the codes that nobody documents."""

    def __init__(self) -> None:
        self._unlisted: set[str] = set()

    def of(self, verdict: Verdict) -> str:
        """The verdict's label."""
        label = label_of(verdict)
        code = getattr(verdict, "code", label)
        if label != "other" or code in self._unlisted:
            return str(code) if label == "other" else label
        if len(self._unlisted) < UNLISTED_CODES and _CODE.fullmatch(code) and code not in RESPONSE_CODES:
            self._unlisted.add(code)
            return str(code)
        return "other"


class Budget:
    """Series that appear with use, up to a number."""

    def __init__(self, most: int = EXTRA_SERIES) -> None:
        self._most = most
        self._taken: set[tuple[str, ...]] = set()

    def has(self, *series: str) -> bool:
        """Whether the series may be shown: it is shown already, or there is room for it, which is then taken."""
        if series in self._taken:
            return True
        if len(self._taken) >= self._most:
            return False
        self._taken.add(series)
        return True
