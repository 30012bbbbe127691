"""Which names may be meant by one that is unknown. Pure."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice


def near_names(name: str, known: Iterable[str], *, otherwise: int) -> list[str]:
    """The known names that are most like it, at most three, the likest first; if none is, the first ``otherwise``.

    Takes 2 µs for each known name of 12 characters and 230 for one of 200, so the caller bounds them.
    """
    names = list(known)
    return get_close_matches(name, names) or list(islice(names, otherwise))
