"""The trace that a job belongs to, as W3C's Trace Context writes it: https://www.w3.org/TR/trace-context/. Pure.

Producers, other services and Refer2 may all know the same trace. Whatever a header says of it is a claim from outside.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

TRACEPARENT = "traceparent"
"""Header with the trace, and with the span that caused the message."""

TRACESTATE = "tracestate"
"""Header with what tracing systems add for themselves."""

LONGEST_STATE = 512
"""Characters of a ``tracestate`` that are carried: as many as W3C asks everybody to carry."""

# Version 00 alone: what a later one would mean is not known yet. An id of zeros is none.
_PARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_MEMBER = r"[a-z0-9][a-z0-9_*/@-]{0,255}=[ -+\--<>-~]{0,255}[!-+\--<>-~]"
_STATE = re.compile(rf"{_MEMBER}(?:[ \t]*,[ \t]*{_MEMBER}){{0,31}}")


class TraceContext(NamedTuple):
    """A span in a trace. Both texts are valid; ``tracestate`` is empty where there is none."""

    traceparent: str
    tracestate: str = ""

    @property
    def trace_id(self) -> str:
        """The trace, in hex."""
        return self.traceparent[3:35]

    @property
    def is_sampled(self) -> bool:
        """Whether whoever began the trace wants its spans collected."""
        return bool(int(self.traceparent[-2:], 16) & 1)

    @property
    def headers(self) -> dict[str, str]:
        """Itself, as a message's headers."""
        if not self.tracestate:
            return {TRACEPARENT: self.traceparent}
        return {TRACEPARENT: self.traceparent, TRACESTATE: self.tracestate}


def read_trace_context(headers: Mapping[str, Any]) -> TraceContext | None:
    """What a message's headers claim; None where there is no ``traceparent``, or none that is valid.

    A ``tracestate`` that is too long or malformed counts as absent.
    """
    parent = headers.get(TRACEPARENT)
    if not isinstance(parent, str) or not _PARENT.fullmatch(parent):
        return None
    state = headers.get(TRACESTATE)
    if not isinstance(state, str) or len(state) > LONGEST_STATE or not _STATE.fullmatch(state):
        state = ""
    return TraceContext(parent, state)
