"""The table of error codes, and what a result with one means."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

import worker
from worker.model.codes import CODES, OUTCOMES, SHOPS_OWN_RULE, OwnCode, explain, explain_code
from worker.model.explanation import Explanation
from worker.model.outcomes import OUTCOMES as ALL_OUTCOMES
from worker.model.outcomes import Outcome
from worker.model.verdicts import DOCUMENTED_CODES, Halted, Refused, Rejected, Retry, Throttled, Unknown
from worker.refer2.responses import Flaw

VERDICTS = {
    kind.__name__: kind.__match_args__.index("code") for kind in (Rejected, Throttled, Halted, Refused, Retry, Unknown)
}
"""The verdicts that have a code, with the position of that argument."""


def test_every_code_has_its_entry() -> None:
    """The vendor's codes come first and in their order, then ours; there is no other entry."""
    assert list(CODES) == [*DOCUMENTED_CODES, *get_args(OwnCode)]
    assert list(OUTCOMES) == list(ALL_OUTCOMES)
    assert set(get_args(Flaw)) < set(CODES)


def test_every_code_that_the_code_makes_has_its_entry() -> None:
    """Each text that the rooms of the call and of the dispatch make a code of is in the table."""
    rooms = [Path(worker.__file__).parent / room for room in ("refer2", "dispatch", "scheduling", "embedded")]
    made = {code for room in rooms for path in room.rglob("*.py") for code in _codes(ast.parse(path.read_text()))}
    assert {"interrupted", "unverified", "unanswered", "connection", "http_429", "http_"} <= made
    assert made - {"http_"} <= set(CODES)


def _codes(tree: ast.AST) -> Iterator[str]:
    """The constants that a verdict, or the code of a result, is given in this module; `http_` for a status in words."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from (text for keyword in node.keywords if keyword.arg == "code" for text in _texts(keyword.value))
            position = VERDICTS.get(node.func.id) if isinstance(node.func, ast.Name) else None
            if position is not None and len(node.args) > position:
                yield from _texts(node.args[position])
        elif isinstance(node, ast.Assign) and any(_is_code(target) for target in node.targets):
            # As in `outcome, code = "unknown", code or "interrupted"`.
            yield from (text for text in _texts(node.value) if text not in ALL_OUTCOMES)


def _is_code(target: ast.expr) -> bool:
    return any(isinstance(part, ast.Name) and part.id == "code" for part in ast.walk(target))


def _texts(node: ast.expr) -> Iterator[str]:
    # What a call is given, as in `document.get("id")`, is no code.
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif not isinstance(node, ast.Call):
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.expr):
                yield from _texts(part)


@pytest.mark.parametrize("told", [*CODES.values(), *OUTCOMES.values(), SHOPS_OWN_RULE], ids=lambda told: told.short)
def test_how_it_is_said(told: Explanation) -> None:
    """A meaning is a clause, whose beginning fits a line beside a code, and a remedy is sentences; both fit a table."""
    assert not told.meaning.endswith(".")
    assert len(told.short) <= 75
    assert told.remedy[0].isupper() or told.remedy.startswith("`")
    assert told.remedy.endswith(".")
    assert "|" not in told.meaning + told.remedy
    assert (told.meaning + told.remedy).count("`") % 2 == 0


@pytest.mark.parametrize(
    ("outcome", "code", "like"),
    [
        ("rejected", "no_customers_match_customer_identity", CODES["no_customers_match_customer_identity"]),
        ("rejected", "friend_too_close", SHOPS_OWN_RULE),
        ("rejected", "timeout", SHOPS_OWN_RULE),
        ("rejected", "http_403", SHOPS_OWN_RULE),
        ("rejected", "", SHOPS_OWN_RULE),
        ("failed", "http_403", CODES["http_4xx"]),
        ("failed", "http_407", CODES["http_407"]),
        ("failed", "http_302", CODES["http_3xx"]),
        ("failed", "http_503", CODES["http_5xx"]),
        ("failed", "invalid_token", CODES["invalid_token"]),
        ("unknown", "timeout", CODES["timeout"]),
        ("unknown", None, OUTCOMES["unknown"]),
        ("sent", None, OUTCOMES["sent"]),
        ("expired", None, OUTCOMES["expired"]),
    ],
)
def test_what_a_result_means(outcome: Outcome, code: str | None, like: Explanation) -> None:
    """A code means what its outcome lets it mean: a shop may call a rule of its own as it likes."""
    assert explain(outcome, code) == like


def test_an_unknown_by_another_code_is_about_an_earlier_call() -> None:
    """Such a result says that a call may have been carried out, whatever the last one was answered."""
    told = explain("unknown", "http_503")
    assert told.meaning.startswith("an earlier call may have been carried out")
    assert CODES["http_5xx"].meaning in told.meaning
    assert told.remedy == CODES["timeout"].remedy


def test_a_lost_refusal_did_nothing() -> None:
    """A job that failed was not carried out, so a part of an answer that got lost doesn't make it doubtful."""
    assert "may have been" not in explain("failed", "timeout").meaning
    assert "nothing was done" in explain("failed", "connection_lost").meaning


@pytest.mark.parametrize("code", ["http_", "http_99", "http_1000", "http_٥٠٣", "HTTP_503", "x" * 5000, "\x1b[2J"])
def test_codes_from_outside(code: str) -> None:
    """Whatever a file has as a code, it is explained: as the shop's own."""
    assert explain_code(code) == SHOPS_OWN_RULE
