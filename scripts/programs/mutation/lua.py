"""Mutations of the store's Lua, token by token: no library makes them."""

import random
import re
from collections.abc import Iterator

from scripts.programs.mutation.mutant import Mutant

_TOKEN = re.compile(
    r"(?P<skipped>--[^\n]*|'(?:\\.|[^'\\])*'|\s+)|(?P<number>\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][\w.]*)"
    r"|(?P<operator>\.\.|[<>=~]=|[-+*/<>^])|(?P<other>.)"
)

_SWAPPED = {
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "==": "~=",
    "~=": "==",
    "+": "-",
    "-": "+",
    "*": "/",
    "/": "*",
    "and": "or",
    "or": "and",
    "math.max": "math.min",
    "math.min": "math.max",
    "math.ceil": "math.floor",
    "math.floor": "math.ceil",
}

# An operator after one of these has a sign's meaning, or begins an expression.
_BEFORE_A_SIGN = frozenset("(,={") | {"return", "and", "or", "=="}

_STATEMENT = re.compile(r"\s*(?:(?!local\b|return\b|if\b|for\b|while\b|else\b|end\b)[\w.\[\]#, +]+=\s|[\w.]+\()")
_CONDITION = re.compile(r"(\b(?:if|elseif|while) )(.+)( then| do)$")
_CALL = re.compile(r"(\b[A-Za-z_][\w.]*)\(([^()]*)\)")
_EITHER_WAY = ("math.max", "math.min")


class Source:
    """A script and the places where it can be changed."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._text = text
        self._changes: dict[int, list[str]] = {}
        starts = [0]
        for line in text.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        for number, (start, line) in enumerate(zip(starts[:-1], text.splitlines(), strict=True), start=1):
            found = [text[:start] + changed + text[start + len(line) :] for changed in _changed(line)]
            if found:
                self._changes[number] = found

    @property
    def lines(self) -> list[int]:
        """The lines that can be changed."""
        return sorted(self._changes)

    def mutant(self, line: int, chance: random.Random) -> Mutant:
        """One of the changes that can be made there."""
        return Mutant(self._path, line, self._text, chance.choice(self._changes[line]))


def _changed(line: str) -> Iterator[str]:
    """Every change of a line."""
    if not line.strip() or line.lstrip().startswith("--"):
        return
    yield from _tokens_changed(line)
    if _STATEMENT.match(line) and _whole(line):
        yield re.sub(r"\S.*", "do end", line)
    if condition := _CONDITION.search(line):
        for forced in ("true", "false"):
            yield line[: condition.start(2)] + forced + line[condition.end(2) :]
    for call in _CALL.finditer(line):
        arguments = call[2].split(", ")
        if "function" not in line and call[1] not in _EITHER_WAY and len(arguments) > 1 and "'" not in call[2]:
            for first in range(len(arguments) - 1):
                if arguments[first] == arguments[first + 1]:
                    continue
                swapped = [*arguments]
                swapped[first : first + 2] = reversed(swapped[first : first + 2])
                if swapped == arguments:
                    continue
                yield line[: call.start(2)] + ", ".join(swapped) + line[call.end(2) :]


def _tokens_changed(line: str) -> Iterator[str]:
    before = "("
    for token in _TOKEN.finditer(line):
        text, changed = token[0], ""
        if token.lastgroup == "skipped":
            continue
        if token.lastgroup == "number" and not line.startswith(("KEYS[", "ARGV["), token.start() - 5):
            changed = "0" if text == "1" else str(float(text) + 1 if "." in text else int(text) + 1)
        elif text != "-" or before not in _BEFORE_A_SIGN:
            changed = _SWAPPED.get(text, "")
        if changed:
            yield line[: token.start()] + changed + line[token.end() :]
        before = text


def _whole(line: str) -> bool:
    """Whether a statement ends on its line."""
    opened = sum(map(line.count, "({")) - sum(map(line.count, ")}"))
    return opened == 0 and not line.rstrip().endswith((",", "..", "and", "or", "+", "-"))
