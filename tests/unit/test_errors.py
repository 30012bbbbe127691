"""The error tree: its drawing names every class, and a message is one masked line."""

import importlib
import pkgutil
import re
from collections.abc import Iterator

import worker
from worker import errors
from worker.errors import ReferralError


def subclasses(kind: type[ReferralError]) -> Iterator[type[ReferralError]]:
    """All classes below this one, wherever the package defines them."""
    for below in kind.__subclasses__():
        if below.__module__.startswith("worker."):
            yield below
        yield from subclasses(below)


def drawn() -> dict[str, str]:
    """The name of each error in the drawing, with its base's."""
    bases: dict[str, str] = {}
    open_at: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.fullmatch(r"    (?P<branch>[│├└─ ]*)(?P<name>[A-Z]\w+Error)\b.*", line)
        if found:
            depth = len(found["branch"])
            open_at = [(at, name) for at, name in open_at if at < depth]
            bases[found["name"]] = open_at[-1][1] if open_at else ""
            open_at.append((depth, found["name"]))
    return bases


def test_the_drawing_names_every_error_below_its_base() -> None:
    """Whoever looks for the place of a new error finds all that there are, each under the class that it extends."""
    for module in pkgutil.walk_packages(worker.__path__, "worker."):
        if module.name not in ("worker.__main__", "worker.actors"):
            importlib.import_module(module.name)
    defined = {kind.__name__: kind.__mro__[1].__name__ for kind in subclasses(ReferralError)}
    assert drawn() == {"ReferralError": "", **defined}
