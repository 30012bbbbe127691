"""What an expression of PromQL reads, by its syntax tree."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import promql_parser as promql


class Selected(NamedTuple):
    """A metric that is read, with the labels that the expression takes it to have."""

    metric: str
    labels: frozenset[str]


class Call(NamedTuple):
    """A function over a range, and the range in seconds."""

    function: str
    seconds: float


def selected(expression: str) -> list[Selected]:
    """Every metric of the expression, with the labels of its matchers and of the groupings around it."""
    return list(_selected(promql.parse(expression), frozenset()))


def calls_over_ranges(expression: str) -> list[Call]:
    """Every function over a range, such as ``rate``."""
    return [
        Call(node.func.name, argument.range.total_seconds())
        for node in _nodes(promql.parse(expression))
        if isinstance(node, promql.Call)
        for argument in node.args
        if isinstance(argument, promql.MatrixSelector)
    ]


def _selected(node: Any, grouped: frozenset[str]) -> Iterator[Selected]:
    if isinstance(node, promql.AggregateExpr):
        by = node.modifier is not None and node.modifier.type == promql.AggModifierType.By
        # What is grouped by a label and then by fewer has them all; a label that label_replace makes, it has not.
        grouped = frozenset(node.modifier.labels) if by and node.modifier else grouped
    if isinstance(node, promql.Call) and node.func.name == "label_replace":
        grouped = grouped - {node.args[1].val}
    if isinstance(node, promql.VectorSelector):
        yield Selected(node.name or "", grouped | {matcher.name for matcher in node.matchers.matchers})
    for child in _children(node):
        yield from _selected(child, grouped)


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in _children(node):
        yield from _nodes(child)


def _children(node: Any) -> list[Any]:
    if isinstance(node, promql.BinaryExpr):
        return [node.lhs, node.rhs]
    if isinstance(node, promql.Call):
        return list(node.args)
    if isinstance(node, promql.MatrixSelector):
        return [node.vector_selector]
    if isinstance(node, promql.AggregateExpr | promql.SubqueryExpr | promql.ParenExpr | promql.UnaryExpr):
        return [node.expr]
    return []
