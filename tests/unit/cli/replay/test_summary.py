"""What a person reads before jobs are sent again."""

import pytest

from tests.unit.making import make_result
from worker.cli.replay.summary import Summary
from worker.model.job import Customer
from worker.results.again import MOST_CODES, Choice, Chosen

RESULTS = [
    *(make_result(number, "failed", code="http_503", reference=f"r{number}") for number in range(1, 6)),
    make_result(7, "unknown", code="timeout", line=None, customer=Customer(shopid="7223120008")),
    make_result(8, "rejected", row=6, code="\u202erule", message="SANDBOX: no", reference="ask ann@mail.example.org"),
]
SANDBOX = (
    "of these results come from a SANDBOX, which called nobody; those without an answer count as such if others of "
    "their shop do. Workers call whatever the shops file names, which may be the real shop"
)
TWICE = (
    "of these may have been carried out already: nobody knows whether, and whoever was written to is then written to "
    "twice"
)


def summary(*outcomes: str) -> Summary:
    """The summary of what is asked for."""
    with Chosen(Choice(frozenset(outcomes), frozenset()), is_cancelled=lambda shop: shop == "bolt") as chosen:
        for result in [*RESULTS, make_result(9, "failed", shop="bolt")]:
            chosen.add(result, None)
        return Summary.of("spring", chosen)


def test_what_would_be_sent() -> None:
    """Counts by outcome and code with their meaning and three examples; what is left out; what to think of."""
    assert summary("failed", "unknown", "rejected").lines(None) == [
        "7 jobs of campaign spring to send again:",
        "  5 failed http_503: Refer2 failed at every attempt",
        "      line 1 r1 (a…@e….com), line 2 r2 (a…@e….com), line 3 r3 (a…@e….com)",
        "  1 unknown timeout: the request went out, and no answer came in time",
        "      (722…008)",
        "  1 rejected \\u202erule: the shop's own rule",
        "      line 8 = row 6 ask a…@m….org (a…@e….com)",
        "left out: 1 whose campaign is cancelled in their shop; run `referrals cancel --undo` first",
        f"7 {SANDBOX}",
        f"1 {TWICE}",
    ]


def test_what_nothing_answered_beside_a_rehearsal() -> None:
    """A time-out has no mark; it counts as a rehearsal's in the shop where a sandbox has answered, and in no other."""
    results = (
        make_result(1, message="SANDBOX: thanks"),
        make_result(2, "failed"),
        make_result(3, "failed", message="no"),
        make_result(4, "failed", shop="core"),
    )
    with Chosen(Choice(frozenset({"failed"}), frozenset()), is_cancelled=lambda _: False) as chosen:
        for result in results:
            chosen.add(result, None)
        made = Summary.of("spring", chosen)
    assert (made.jobs, made.rehearsed) == (3, 1)


def test_an_earlier_run_may_have_been_sent() -> None:
    """Who may be written to twice is counted, though the latest run ended without a call."""
    with Chosen(Choice(frozenset({"unknown", "expired"}), frozenset()), is_cancelled=lambda _: False) as chosen:
        for result in (make_result(1, "unknown"), make_result(1, "expired", run=1)):
            chosen.add(result, None)
        assert Summary.of("spring", chosen).lines(None)[-1] == f"1 {TWICE}"


def test_nothing_would_be_sent() -> None:
    """One line says so."""
    assert summary("cancelled").lines(None) == ["no job of campaign spring to send again"]


@pytest.mark.parametrize("width", [40, 80])
def test_it_fits_a_terminal(width: int) -> None:
    """However narrow."""
    lines = summary("failed", "unknown", "rejected").lines(width)
    assert max(map(len, lines)) <= width
    assert " ".join(" ".join(lines).split()).startswith("7 jobs of campaign spring to send again: 5 failed http_503")


def test_data_for_a_program() -> None:
    """The same counts."""
    data = summary("failed", "unknown").data()
    assert [(kind["outcome"], kind["code"], kind["jobs"]) for kind in data["chosen"]] == [
        ("failed", "http_503", 5),
        ("unknown", "timeout", 1),
    ]
    assert (data["results"], data["jobs"], data["left_out"], data["sandbox"]) == (8, 6, {"cancelled": 1}, 6)


def test_codes_beyond_number() -> None:
    """A shop may have any number of its own: memory and the screen are bounded."""
    with Chosen(Choice(frozenset({"rejected"}), frozenset()), is_cancelled=lambda _: False) as chosen:
        for number in range(MOST_CODES + 20):
            chosen.add(make_result(number, "rejected", code=f"rule{number}"), None)
        made = Summary.of("spring", chosen)
    assert made.kinds["rejected", "other codes"] == 20
    assert len(made.kinds) == MOST_CODES + 1
    assert len(made.lines(None)) < 30
    assert "89 with 89 other codes" in made.lines(None)[-1]
