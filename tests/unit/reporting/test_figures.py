"""The figures of a campaign, and the document made of them."""

import json
import tracemalloc
from collections import Counter
from datetime import UTC, datetime
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.reporting.results import result
from worker.model.codes import SHOPS_OWN_RULE
from worker.model.outcomes import Outcome
from worker.model.rehearsal import LINKS
from worker.reporting.document import document
from worker.reporting.figures import Figures
from worker.reporting.groups import OTHER

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def shown(*results: dict[str, Any]) -> dict[str, Any]:
    """The document of these results, as JSON carries it."""
    figures = Figures(NOW)
    for each in results:
        figures.add(each)
    made = document(figures, campaign="spring", shop=None, made_at=NOW, rejected=None)
    parsed: dict[str, Any] = json.loads(json.dumps(made))
    return parsed


@given(
    st.lists(
        st.tuples(
            st.sampled_from(get_args(Outcome)),
            st.sampled_from([None, "timeout", "friend_too_close", "http_503"]),
            st.sampled_from(["acme", "blume"]),
            st.sampled_from(["sms", "email"]),
            st.integers(0, 3),
            st.integers(1_500_000_000, 2_000_000_000),
        ),
        min_size=1,
    )
)
def test_every_breakdown_adds_up_to_the_jobs(
    drawn: list[tuple[Outcome, str | None, str, str, int, int]],
) -> None:
    """Whatever a figure is broken down by, its parts by outcome are the outcomes, which are the jobs."""
    made = shown(
        *(
            result(
                outcome,
                code,
                shop=shop,
                channel=channel,
                run=run,
                finished_at=datetime.fromtimestamp(at, UTC).isoformat(),
            )
            for outcome, code, shop, channel, run, at in drawn
        )
    )
    outcomes = Counter(outcome for outcome, *_ in drawn)
    assert made["jobs"] == sum(made["outcomes"].values()) == len(drawn)
    assert Counter(made["outcomes"]) == outcomes
    for name in ("shops", "channels", "runs"):
        assert sum((Counter(row["outcomes"]) for row in made[name]), Counter()) == outcomes
    over_time = made["over_time"]
    assert sum((Counter(span["outcomes"]) for span in over_time["spans"]), +Counter(over_time["outside"])) == outcomes
    assert sum(row["results"] for row in made["codes"]) == sum(code is not None for _, code, *_ in drawn)
    assert sum(made["attempts"]["jobs"].values()) == len(drawn)


def test_codes_are_told_with_their_outcome() -> None:
    """The most common code comes first; one code that ended jobs in two ways has two rows, each with what it means."""
    made = shown(
        *[result("rejected", "friend_too_close")] * 3,
        *[result("failed", "http_503")] * 2,
        result("unknown", "http_503"),
        result("rejected", "timeout"),
        result(),
    )
    assert [(row["code"], row["outcome"], row["results"]) for row in made["codes"]] == [
        ("friend_too_close", "rejected", 3),
        ("http_503", "failed", 2),
        ("http_503", "unknown", 1),
        ("timeout", "rejected", 1),
    ]
    meanings = [row["meaning"] for row in made["codes"]]
    assert meanings[0] == meanings[3] == SHOPS_OWN_RULE.meaning
    assert meanings[2].startswith("an earlier call may have been carried out")


def test_calls_are_counted() -> None:
    """Attempts are counted by job, ten and more together, and latencies only where a result tells one."""
    made = shown(
        result(attempts=1, latency_seconds=0.05),
        result(attempts=3, latency_seconds=0.1),
        result(attempts=12, latency_seconds=70.0),
        result("expired"),
        result("sent", latency_seconds=None),
    )
    assert made["attempts"] == {"total": 17, "jobs": {"0": 1, "1": 2, "3": 1, "10+": 1}}
    latency = made["latency_seconds"]
    assert (latency["calls"], latency["p50"], latency["p99"]) == (3, 0.1, 70.0)
    assert {row["from"]: row["calls"] for row in latency["histogram"] if row["calls"]} == {0.05: 1, 0.1: 1, 20.0: 1}


def test_a_rehearsal_is_counted() -> None:
    """Results of the emulator are told by its links and texts."""
    made = shown(result(referral={"link": f"{LINKS}r/1"}), result("rejected", "x", message="SANDBOX: no"), result())
    assert made["sandbox"] == 2


def test_memory_is_bounded_whatever_the_results_hold() -> None:
    """Results that differ in every field take no more memory than the most that is told apart, and none is lost."""
    figures = Figures(NOW)
    tracemalloc.start()
    for number in range(20_000):
        figures.add(
            result(
                "rejected",
                f"code_{number}",
                shop=f"shop-{number}",
                channel=f"channel-{number}",
                run=number,
                latency_seconds=1.0001**number / 100,
                message=f"word{'abcdefghij'[number % 10] * (number % 97)} "
                + " ".join("x" * (number // k % 9 + 1) for k in (1, 9, 81, 729, 6561))
                + "y" * 900,
                finished_at=f"{number % 9000 + 1:04}-01-01T00:00:00Z",
            )
        )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000
    made = document(figures, campaign="spring", shop=None, made_at=NOW, rejected=None)
    for name in ("shops", "channels", "runs"):
        assert len(made[name]) == 51
        assert made[name][-1]["name"] == OTHER
        assert sum(row["outcomes"]["rejected"] for row in made[name]) == 20_000
    assert sum(row["results"] for row in made["codes"]) == 20_000
    assert sum(row["results"] for row in made["messages"]) + made["other_messages"] == 20_000
    spans = [*(span["outcomes"] for span in made["over_time"]["spans"]), made["over_time"]["outside"]]
    assert sum(span["rejected"] for span in spans) == 20_000
