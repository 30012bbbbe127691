"""Mutations of Python: mutmut's operators, and what it has none for. Works on libcst's trees.

Texts stay as they are: most are messages, which are free to change.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import libcst as cst
import libcst.matchers as m
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_lambda, operator_string

from scripts.programs.mutation.mutant import Mutant

Operator = Callable[[Any], Iterable[cst.CSTNode]]


def removed_statement(node: cst.SimpleStatementLine) -> Iterable[cst.CSTNode]:
    """The call, assignment to an attribute, return or raise is not carried out."""
    removable = m.Expr(m.Call()) | m.AugAssign() | m.Return() | m.Raise() | m.Del() | m.Assign([m.AssignTarget(_PART)])
    if len(node.body) == 1 and m.matches(node.body[0], removable):
        yield node.with_changes(body=[cst.Pass()])


_PART = m.Attribute() | m.Subscript()


def forced_condition(node: cst.If | cst.While) -> Iterable[cst.CSTNode]:
    """A branch is never taken, or the other one."""
    yield node.with_changes(test=cst.Name("False"))
    if isinstance(node, cst.If):
        yield node.with_changes(test=cst.Name("True"))


_SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any", "ceil": "floor", "popleft": "pop"}


def swapped_function(node: cst.Call) -> Iterable[cst.CSTNode]:
    """The smallest becomes the greatest, any becomes all, and the like."""
    name = node.func.attr if isinstance(node.func, cst.Attribute) else node.func
    if isinstance(name, cst.Name) and name.value in _SWAPPED:
        yield node.with_deep_changes(name, value=_SWAPPED[name.value])


OPERATORS: Sequence[tuple[type, Operator]] = [
    *((kind, operator) for kind, operator in mutation_operators if operator not in (operator_string, operator_lambda)),
    (cst.SimpleStatementLine, removed_statement),
    (cst.If, forced_condition),
    (cst.While, forced_condition),
    (cst.Call, swapped_function),
]

# What is only read by type checkers and people; and `|`, which mostly joins types.
_LEFT_ALONE = (cst.Annotation, cst.Decorator, cst.Import, cst.ImportFrom, cst.BitOr, cst.Parameters)


class Source:
    """A module and the places where it can be changed."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._text = text
        self._tree = MetadataWrapper(cst.parse_module(text), unsafe_skip_copy=True)
        positions = self._tree.resolve(PositionProvider)
        self._nodes: dict[int, list[cst.CSTNode]] = {}
        for node in _walk(self._tree.module):
            if any(isinstance(node, kind) for kind, _ in OPERATORS) and node in positions and _mutations(node):
                self._nodes.setdefault(positions[node].start.line, []).append(node)

    @property
    def lines(self) -> list[int]:
        """The lines that can be changed."""
        return sorted(self._nodes)

    def mutant(self, line: int, chance: random.Random) -> Mutant:
        """One of the changes that can be made there."""
        node = chance.choice(self._nodes[line])
        changed = chance.choice(_mutations(node))
        mutated = self._tree.module.deep_replace(node, changed)
        assert isinstance(mutated, cst.Module)
        return Mutant(self._path, line, self._text, mutated.code)


def _walk(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    yield node
    for child in node.children:
        if not isinstance(child, _LEFT_ALONE):
            yield from _walk(child)


def _mutations(node: cst.CSTNode) -> list[cst.CSTNode]:
    return [
        changed
        for kind, operator in OPERATORS
        if isinstance(node, kind)
        for changed in operator(node)
        if not m.matches(changed, m.BinaryOperation(operator=m.BitAnd()))
    ]
