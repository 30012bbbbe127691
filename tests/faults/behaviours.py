"""Ways for the receiving side to misbehave, to the byte."""

import gzip

from tests.faults.upstream import JSON, REFERRAL, Behaviour
from tests.unit.rawserver import Connection, drips, response, sends

MEGABYTE = 1_000_000

RETRY_AFTER = 3
"""Seconds; another wait than that of a 429 which names none."""


def _html(status: int, text: str) -> bytes:
    page = f"<html><head><title>{text}</title></head><body><h1>{text}</h1></body></html>"
    return response(status, page.encode(), {"Content-Type": "text/html"})


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> bytes:
    return response(status, {"id": code, "message": message}, JSON | (headers or {}))


def _refuses(name: str, answer: bytes) -> Behaviour:
    return Behaviour(name, sends(answer), carries_out=False)


def _large(connection: Connection) -> None:
    head, part = response(200, b"", JSON, length=100 * MEGABYTE), b" " * MEGABYTE
    connection.send(head)
    for _ in range(100):
        # The caller hangs up long before the end.
        if not connection.open:
            return
        connection.send(part)


def redirects_to(url: str) -> Behaviour:
    """Sends the caller elsewhere, with its token if it goes."""
    return _refuses("redirect", response(307, b"", {"Location": f"{url}/api/v2023061/acme/Refer2"}))


UNAVAILABLE = _refuses("5xx", _html(503, "Service Unavailable"))
INTERNAL_ERROR = _refuses("500_json", _error(500, "internal", "no idea"))

RESET = Behaviour("reset_after_headers", sends(response(200, b"", JSON, length=200), then=Connection.reset))
TRUNCATED = Behaviour("truncated", sends(response(200, b'{"refe', JSON, length=200), then=Connection.close))
NOT_JSON = Behaviour("not_json", sends(response(200, b"Thank you", JSON)))
LARGE = Behaviour("100_megabytes", _large)
DRIPPING = Behaviour("drip_fed", drips(response(200, b" " * 200, JSON), at_once=80, every=0.5))
BOMB = Behaviour(
    "gzip_bomb", sends(response(200, gzip.compress(b" " * 20 * MEGABYTE, 6), JSON | {"Content-Encoding": "gzip"}))
)
NO_REFERRAL = Behaviour("no_referral", sends(response(200, {"message": REFERRAL["message"]}, JSON)))

FIREWALL = _refuses("firewall", _html(403, "Request blocked"))
OBSOLETE = _refuses("obsolete", _error(400, "obsolete_global_api_version", "This version is gone."))
REJECTED = _refuses("rejected", _error(422, "no_customers_match_customer_identity", "No customer has these ids."))
BAD_TOKEN = _refuses("401", _error(401, "invalid_token", "The token is not valid."))

THROTTLED = _refuses(
    "429", _error(429, "rate_limit_exceeded", "Too many per second for this shop.", {"Retry-After": f"{RETRY_AFTER}"})
)
THROTTLED_BARE = _refuses("429_bare", response(429, b""))
