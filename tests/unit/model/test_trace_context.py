"""What a message's headers claim of a trace: W3C's format, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.model.trace_context import LONGEST_STATE, TraceContext, read_trace_context

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_context_is_read_and_written_again() -> None:
    """Both headers, to the character."""
    headers = {"traceparent": PARENT, "tracestate": "rojo=00f067aa0ba902b7, fw529a3039@dt=FfAMIA,s/1*_-=a b"}
    context = read_trace_context({**headers, "other": 1})
    assert context is not None
    assert context.headers == headers
    assert (context.trace_id, context.is_sampled) == ("0af7651916cd43dd8448eb211c80319c", True)
    bare = read_trace_context({"traceparent": PARENT.removesuffix("01") + "fe"})
    assert bare is not None
    assert (list(bare.headers), bare.is_sampled) == (["traceparent"], False)


@pytest.mark.parametrize(
    "claim",
    [
        None,
        "",
        7,
        PARENT.encode(),
        PARENT.upper(),
        PARENT + "\n",
        f" {PARENT}",
        f"{PARENT}-more",
        f"01{PARENT.removeprefix('00')}",
        f"ff{PARENT.removeprefix('00')}",
        PARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        PARENT.replace("b7ad6b7169203331", "0" * 16),
        PARENT.replace("0af", "０af"),
        "x" * 1_000_000,
    ],
    ids=lambda claim: repr(claim)[:24],
)
def test_no_trace(claim: object) -> None:
    """Anything else is ignored, and its state with it."""
    assert read_trace_context({"traceparent": claim, "tracestate": "a=1"}) is None


@pytest.mark.parametrize(
    "state",
    [
        "",
        "a",
        "a=",
        "A=1",
        "a=1,",
        "a=1\r\nX: y",
        "a=é",
        "a==1",
        b"a=1",
        {"a": 1},
        ",".join(f"k{number}=1" for number in range(33)),
        f"a={'x' * (LONGEST_STATE - 1)}",
    ],
    ids=lambda state: repr(state)[:24],
)
def test_a_state_that_is_none(state: object) -> None:
    """It is left out, and the trace goes on."""
    assert read_trace_context({"traceparent": PARENT, "tracestate": state}) == TraceContext(PARENT)


@given(st.text(), st.text())
def test_what_is_read_fits_into_a_header_of_http(parent: str, state: str) -> None:
    """Whatever was claimed: a line of printable ASCII."""
    for context in (
        read_trace_context({"traceparent": parent, "tracestate": state}),
        read_trace_context({"traceparent": PARENT, "tracestate": state}),
    ):
        for value in context.headers.values() if context is not None else ():
            assert value.isascii()
            assert value.isprintable()
            assert len(value) <= LONGEST_STATE
