"""Policies that take messages out of our queues.

An operator may limit or expire queues by policies, and results or jobs would then vanish without a trace. AMQP shows no
policies, so RabbitMQ's management API is asked where it can be reached.
"""

import base64
import http.client
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from worker.network import plaintext, tls
from worker.network.addresses import authority
from worker.rabbitmq.connection import Node, Parameters
from worker.rabbitmq.topology import DELAY_PREFIX, DELIVERY_LIMIT
from worker.text.bounds import METRICS_PAGE, Bounds, loads

MANAGEMENT_PORT = 15672
TIMEOUT_SECONDS = 5.0

PAGE = 500
"""Queues that one request asks for; the API allows 500."""

MOST_PAGES = 20
"""Pages that are read: 10,000 queues, twice the shops that one cluster is good for."""

_BOUNDS = Bounds(size=METRICS_PAGE, depth=16, parts=200_000, text=4096)
_COLUMNS = "name,arguments,policy,operator_policy,effective_policy_definition"

FOREIGN_ERRORS = (OSError, ValueError, LookupError, TypeError, AttributeError, http.client.HTTPException)
"""What asking and reading the answer raise. Each becomes an :class:`UnknownPoliciesError`."""


class UnknownPoliciesError(Exception):
    """The management API can't be asked or gives no clear answer; the message says why, without secrets."""


def losses(params: Parameters, management_url: str | None) -> list[str]:
    """A line for each policy by which messages of ours expire or are dropped, with the policy's name and the remedy.

    Without a URL, a broker on this machine is asked at its usual port, and another not at all. User and password are
    AMQP's; the user needs the tag ``management``. Blocks for up to 5 s between two packets of each page.

    Raises:
      UnknownPoliciesError: the API did not answer the question.
    """
    node = params.nodes[0]
    if management_url is None and not plaintext.is_this_machine(node.host):
        raise UnknownPoliciesError("REFERRALS_RABBITMQ_MANAGEMENT_URL is not set")
    base = (management_url or f"http://{authority(node.host, MANAGEMENT_PORT)}").rstrip("/")
    try:
        return describe_losses(_queues(base, node))
    except FOREIGN_ERRORS as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is the answer too, with its connection
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        raise UnknownPoliciesError(f"RabbitMQ's management API at {base}: {reason}") from None


def describe_losses(queues: Iterable[Mapping[str, Any]]) -> list[str]:
    """The lines of :func:`losses` for queues as the management API describes them. Pure."""
    found: dict[str, list[str]] = defaultdict(list)
    for queue in queues:
        for what in _taking(queue):
            found[what].append(str(queue["name"]))
    remedy = "have it match none of them"
    return [f"{what} takes messages out of {_listed(names)}; {remedy}" for what, names in found.items()]


def read(body: bytes) -> tuple[list[Mapping[str, Any]], int]:
    """The queues on one page of the API, and how many pages there are. Raises one of :data:`FOREIGN_ERRORS`."""
    page = loads(body, _BOUNDS)
    return list(page["items"]), int(page["page_count"])


def _queues(base: str, node: Node) -> Iterator[Mapping[str, Any]]:
    login = base64.b64encode(f"{node.credentials.username}:{node.credentials.password}".encode()).decode()
    context = node.ssl_options.context if node.ssl_options is not None else tls.context()
    # No proxy, whatever the environment names: it would read the password.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context), _NoRedirect
    )
    for page in range(1, MOST_PAGES + 1):
        wanted = {"page": page, "page_size": PAGE, "name": "^referrals", "use_regex": "true", "columns": _COLUMNS}
        request = urllib.request.Request(  # noqa: S310 - the scheme is ours, or checked with the settings
            f"{base}/api/queues/{quote(node.virtual_host, safe='')}?{urlencode(wanted)}",
            headers={"Authorization": f"Basic {login}"},
        )
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            queues, pages = read(answer.read(METRICS_PAGE))
        yield from queues
        if page >= pages:
            return


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow none: the password goes to the configured host alone."""


def _taking(queue: Mapping[str, Any]) -> list[str]:
    # Where nothing is set, the API sends an empty list in place of an object.
    policy = queue.get("effective_policy_definition") or {}
    arguments = queue.get("arguments") or {}
    taking = {}
    for key in ("message-ttl", "expires"):
        # A shorter TTL on a delay queue only brings its jobs back early, where the store makes them wait again.
        if key in policy and not (key == "message-ttl" and queue["name"].startswith(DELAY_PREFIX)):
            taking[key] = policy[key]
    if (arguments.get("x-overflow") or policy.get("overflow")) != "reject-publish":
        taking |= {key: policy[key] for key in ("max-length", "max-length-bytes") if key in policy}
    if 0 <= policy.get("delivery-limit", DELIVERY_LIMIT) < DELIVERY_LIMIT:
        taking["delivery-limit"] = policy["delivery-limit"]
    names = " and ".join(repr(queue[kind]) for kind in ("policy", "operator_policy") if queue.get(kind))
    return [f"RabbitMQ's policy {names} ({key} {value!s:.20})" for key, value in taking.items()]


def _listed(names: list[str]) -> str:
    first = "referrals.results" if "referrals.results" in names else names[0]
    others = len(names) - 1
    return first if not others else f"{first} and {others:,} other queue{'s' if others > 1 else ''}"
