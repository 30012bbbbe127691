"""What a person who watches ``referrals run`` reads while Refer2 fails or nothing may be called, and why a shop was
given up.
"""

from worker.cli.times import moment
from worker.embedded.port import MOST_INSIDE
from worker.instants import SECOND

MINUTE = 60 * SECOND


class Outage:
    """Reports in plain words that Refer2 fails: once for each pause, whichever shop it is."""

    def __init__(self) -> None:
        self._reported_until = 0

    def line(self, failing: tuple[str, int] | None, now: int) -> str | None:
        """The line to print now, if any; ``failing`` is an error code and the instant of the next try."""
        # Shops fail together and open at different times. One line until the first of them is due is enough.
        if failing is None or now < self._reported_until or failing[1] <= now:
            return None
        code, self._reported_until = failing
        seconds = -(-(self._reported_until - now) // SECOND)
        trouble = "Refer2 is out of reach" if code == "connection" else f"Refer2 fails ({code})"
        return f"{trouble}; next try in {seconds} s; Ctrl-C stops"


class Rest:
    """Reports that nothing can be called for long: once for each such time."""

    def __init__(self) -> None:
        self._reported = 0

    def line(self, until: int, rows: int) -> str | None:
        """The line to print now, if any; ``until`` is when the next call may be made, 0 where one may be soon. So many
        ``rows`` wait for it.
        """
        # Corrections of the clock, or a job that is read later, move it by a little.
        if not until or until <= self._reported + MINUTE:
            return None
        self._reported = until
        waiting = "1 row waits" if rows == 1 else f"{rows:,} rows wait"
        behind = ", and what follows them" if rows >= MOST_INSIDE else ""
        return (
            f"nothing can be called before {moment(until)}: {waiting} for it{behind}; Ctrl-C stops, and the same "
            "command goes on then"
        )


def trouble_of(code: str) -> str:
    """Why a shop was given up by the code that its calls got, and what to do about it."""
    if code == "connection":
        return "Refer2 is out of reach; check the network, and the shop's base_url in the shops file"
    if code in ("timeout", "connection_lost", "unreadable_answer") or code.startswith("http_5"):
        return f"Refer2 fails ({code}) for every call; wait until it works again"
    trouble = f"every call is answered {code}"
    if code == "invalid_token":
        return f"{trouble}; fix its credential in the shops file"
    if code.endswith("_global_api_version"):
        return f"{trouble}; fix its api_version in the shops file"
    if code == "http_407":
        return f"{trouble}, which comes from the proxy; put its user and password into REFERRALS_HTTP_PROXY"
    if code.startswith("http_"):
        # Refer2 names its errors by an id. A bare status comes from something in between, or from another server.
        return f"{trouble}, which does not come from Refer2; fix its base_url or its slug in the shops file"
    return f"{trouble}; that is a rule of the shop: clear it up with them"
