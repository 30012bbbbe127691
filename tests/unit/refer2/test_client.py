"""The client against a server on bare sockets: what it sends, what it keeps to itself, and which call it makes."""

import logging
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
import trustme

from tests.unit.making import foreign_job
from tests.unit.rawserver import CERTIFICATE, Connection, RawServer, body_of, fields_of, response, sends, server_tls
from tests.unit.telemetry.test_tracing import CONTEXT, Held
from worker.clock import ManualClock, SystemClock
from worker.errors import ConfigurationError
from worker.instants import SECOND, from_datetime
from worker.model.job import Customer, Job
from worker.model.verdicts import Found, Halted, Refused, Rejected, Retry, Sent, Throttled, Unknown
from worker.refer2.client import Refer2Client
from worker.refer2.tokens import TokenMaker
from worker.shops.config import ShopConfig, ShopTable
from worker.shops.credentials import SigningKey, UnidentifiedCustomerError
from worker.telemetry.tracing import Tracing

OK = response(200, {"referral": {"link": "https://example.com/r/1"}, "message": "hi"})
SENT = Sent(200, "hi", {"link": "https://example.com/r/1"}, None)
TOKEN = "a.ready.token"
UNREACHABLE = Retry(None, "connection")
LOST = Unknown(None, "connection_lost")


def job(**fields: Any) -> Job:
    """A job of the shop acme, by default for one customer and a text message."""
    usual = {"customer": Customer(email="ann@example.com"), "channel": "sms"}
    return Job.create(shop="acme", campaign="spring", **{**usual, **fields})


def shop_at(url: str, **table: Any) -> ShopConfig:
    """The shop acme at that address."""
    return ShopConfig.of("acme", SigningKey("k1", b"s3cret"), ShopTable(base_url=url, **table))


def new_client(**settings: Any) -> Refer2Client:
    """A client that is short of patience."""
    usual = {"connect_timeout_seconds": 0.5, "read_timeout_seconds": 0.4, "call_deadline_seconds": 0.6}
    return Refer2Client(token_of=lambda *_: TOKEN, clock=SystemClock(), **{**usual, **settings})


@pytest.fixture
def client() -> Iterator[Refer2Client]:
    """A client that is short of patience."""
    made = new_client()
    yield made
    made.close()


@pytest.mark.parametrize("sends_it", [False, True])
def test_the_trace_is_told_only_where_that_is_asked_for(*, sends_it: bool) -> None:
    """Its own state, which is for those who trace, never is."""
    tracing = Tracing()
    tracing.admitted(Held(CONTEXT))
    client = new_client(tracing=tracing, send_traceparent=sends_it)
    with RawServer(sends(OK)) as server:
        assert client.refer(shop_at(server.url), job()) == SENT
        tracing.admitted(Held(None))
        assert client.refer(shop_at(server.url), job()) == SENT
    client.close()
    told, untold = map(fields_of, server.requests)
    assert told.get("traceparent") == (CONTEXT.traceparent if sends_it else None)
    assert "traceparent" not in untold
    assert "tracestate" not in told


def test_what_is_sent(client: Refer2Client) -> None:
    """One POST to the shop's address: JSON with the ids that aren't empty, and no header that isn't due."""
    everything = job(
        customer=Customer(bhid="b1", shopid="", email="ann@example.com"),
        sender="bób@example.com",
        channel="email",
        destination="cyd@example.com",
        reference="row 7",
    )
    with RawServer(sends(OK)) as server:
        assert client.refer(shop_at(f"{server.url}/behind/"), everything) == SENT
    (request,) = server.requests
    assert request.startswith(b"POST /behind/api/v2023061/acme/Refer2 HTTP/1.1\r\n")
    assert body_of(request) == {
        "customer": {"bhid": "b1", "email": "ann@example.com"},
        "sender": "bób@example.com",
        "channel": "email",
        "destination": "cyd@example.com",
    }
    assert fields_of(request) == {
        "host": f"127.0.0.1:{server.port}",
        "authorization": f"Bearer {TOKEN}",
        "content-type": "application/json",
        "content-length": str(len(request.partition(b"\r\n\r\n")[2])),
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "referral-dispatch",
    }


def test_a_destination_goes_with_email_only(client: Refer2Client) -> None:
    """A destination on a channel that takes none is left out; so is an absent one."""
    with RawServer(sends(OK)) as server:
        client.refer(shop_at(server.url), job(channel="whatsapp", destination="cyd@example.com"))
        client.refer(shop_at(server.url), foreign_job(channel="email"))
    assert [set(body_of(request)) for request in server.requests] == [{"customer", "channel"}] * 2


def test_a_customer_token_speaks_for_the_customer(client: Refer2Client) -> None:
    """With a customer's token the body names no customer."""
    with RawServer(sends(OK)) as server:
        client.refer(shop_at(server.url, token="customer"), job(customer=Customer(shopid="1")))
    assert body_of(server.requests[0]) == {"channel": "sms"}


def test_no_token_no_call() -> None:
    """A job for which no customer's token can be made is rejected with Refer2's own code for that."""

    def token_of(shop: ShopConfig, customer: Customer) -> str:
        raise UnidentifiedCustomerError("missing_customer_identity", "no shopid")

    refusing = Refer2Client(token_of=token_of, clock=SystemClock())
    with RawServer(sends(OK)) as server:
        verdict = refusing.refer(shop_at(server.url, token="customer"), job())
    assert verdict == Rejected(None, "missing_customer_identity", "no shopid; not sent", listed=True)
    assert server.connections == 0


def test_a_token_of_one_customer_that_is_refused(client: Refer2Client) -> None:
    """A shop's token that is refused is the shop's trouble; a customer's own may be the customer's."""
    with RawServer(sends(response(401, {"id": "invalid_token"}))) as server:
        of_shop = client.refer(shop_at(server.url), job())
        of_customer = client.refer(shop_at(server.url, token="customer"), job(customer=Customer(shopid="1")))
    assert of_shop == Halted(401, "invalid_token", None, every_shop=False)
    assert of_customer == Refused(401, "invalid_token")


@pytest.mark.parametrize(
    ("customer", "code"),
    [
        (Customer(bhid="b1"), "missing_customer_identity"),
        (Customer(email="ann@example.com"), "missing_customer_identity"),
        (Customer(bhid="b1", shopid="1"), "customer_identity_does_not_match_token"),
        (Customer(bhid="b1", shopid="1", email="ann@example.com"), "customer_identity_does_not_match_token"),
    ],
)
def test_no_id_is_lost_to_a_customer_token(customer: Customer, code: str) -> None:
    """Ids that a customer's token can't carry are rejected, never left out: the body names no customer then."""
    made = Refer2Client(token_of=TokenMaker(SystemClock()).token, clock=SystemClock())
    with RawServer(sends(OK)) as server:
        verdict = made.refer(shop_at(server.url, token="customer"), job(customer=customer))
    assert isinstance(verdict, Rejected)
    assert (verdict.status, verdict.code) == (None, code)
    assert server.connections == 0


def test_connections_are_kept(client: Refer2Client) -> None:
    """One thread's calls share a connection, whichever shop they are for."""
    with RawServer(sends(OK)) as server:
        for _ in range(5):
            assert client.refer(shop_at(server.url), job()) == SENT
        assert client.refer(shop_at(server.url, api_version="v20230601"), job()) == SENT
        assert server.connections == 1
    assert server.requests[-1].startswith(b"POST /api/v20230601/")


def test_threads_have_connections_of_their_own(client: Refer2Client) -> None:
    """Threads that call at once don't wait for one another, and each reads the answer to its own call."""
    together = threading.Barrier(4, timeout=5)
    verdicts: list[object] = []

    def reply(connection: Connection) -> None:
        together.wait()
        connection.send(OK)

    with RawServer(reply) as server:
        shop = shop_at(server.url)
        threads = [threading.Thread(target=lambda: verdicts.append(client.refer(shop, job()))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert verdicts == [SENT] * 4
        assert server.connections == 4


def test_an_idle_connection_is_not_trusted() -> None:
    """A connection that was idle for too long is replaced, since its server may be closing it right now."""
    impatient = new_client(longest_idle_seconds=0)
    with RawServer(sends(OK)) as server:
        for _ in range(2):
            assert impatient.refer(shop_at(server.url), job()) == SENT
        assert server.connections == 2
    impatient.close()


def test_a_connection_closed_before_the_call(client: Refer2Client) -> None:
    """A connection that the server has closed meanwhile is replaced before anything is sent on it."""
    closed = threading.Event()

    def reply(connection: Connection) -> None:
        connection.send(OK)
        connection.close()
        closed.set()

    with RawServer(reply) as server:
        for _ in range(2):
            assert client.refer(shop_at(server.url), job()) == SENT
            assert closed.wait(5)
            closed.clear()
        assert (server.connections, len(server.requests)) == (2, 2)


@pytest.mark.parametrize("farewell", [Connection.close, Connection.reset], ids=["close", "reset"])
def test_a_connection_closed_during_the_call(client: Refer2Client, farewell: Any) -> None:
    """A kept connection that ends once a request was sent on it leaves that call unknown; it isn't sent again."""
    answers = iter([sends(OK), farewell])
    with RawServer(lambda connection: next(answers)(connection)) as server:
        assert client.refer(shop_at(server.url), job()) == SENT
        assert client.refer(shop_at(server.url), job()) == LOST
        assert (server.connections, len(server.requests)) == (1, 2)


def test_redirects_are_not_followed(client: Refer2Client) -> None:
    """A redirect halts the shop; the token is not carried to another host, and the redirect's body isn't awaited."""
    with RawServer(sends(OK)) as elsewhere:
        endless = response(302, b"x", {"Location": f"{elsewhere.url}/api/v2023061/acme/Refer2"}, length=10**12)
        with RawServer(sends(endless, then=Connection.close)) as server:
            verdict = client.refer(shop_at(server.url), job())
        assert verdict == Refused(302, "http_302")
        assert elsewhere.connections == 0


def test_cookies_are_not_kept(client: Refer2Client) -> None:
    """What one answer sets does not go out with the next call, which may be another shop's."""
    with RawServer(sends(response(200, {"referral": {}}, {"Set-Cookie": "session=acme; Path=/"}))) as server:
        for _ in range(2):
            client.refer(shop_at(server.url), job())
    assert [set(fields_of(request)) & {"cookie"} for request in server.requests] == [set(), set()]


def test_the_environment_is_not_asked(client: Refer2Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Proxies and credentials of the environment are for other programs."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password s3cret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with RawServer(sends(OK)) as server:
        assert client.refer(shop_at(server.url), job()) == SENT
    assert fields_of(server.requests[0])["authorization"] == f"Bearer {TOKEN}"


def test_a_forwarding_proxy() -> None:
    """Through a proxy plain HTTP goes as the whole URL, with the proxy's own credentials."""
    with RawServer(sends(OK)) as proxy:
        proxied = new_client(http_proxy=f"http://user:pass@127.0.0.1:{proxy.port}")
        for _ in range(2):
            assert proxied.refer(shop_at("http://refer2.example.com"), job()) == SENT
        proxied.close()
    request, second = proxy.requests
    assert second == request
    assert request.startswith(b"POST http://refer2.example.com/api/v2023061/acme/Refer2 HTTP/1.1\r\n")
    assert fields_of(request)["host"] == "refer2.example.com"
    assert fields_of(request)["proxy-authorization"] == "Basic dXNlcjpwYXNz"


def test_a_proxy_is_none_of_loopback_s_business() -> None:
    """What runs on this machine, the emulator above all, is called directly; a proxy could not even reach it."""
    with RawServer(sends(OK)) as server:
        proxied = new_client(http_proxy="http://127.0.0.1:1")
        assert proxied.refer(shop_at(server.url), job()) == SENT
        assert proxied.refer(shop_at(server.url.replace("127.0.0.1", "localhost")), job()) == SENT
        assert proxied.refer(shop_at("http://refer2.example.com"), job()) == UNREACHABLE
        proxied.close()
    assert [request.partition(b" HTTP/")[0] for request in server.requests] == 2 * [b"POST /api/v2023061/acme/Refer2"]


def test_a_proxy_that_wants_credentials() -> None:
    """It halts the shop by the proxy's own status, as it does where the proxy forwards plain HTTP; it isn't told as
    Refer2 being out of reach.
    """
    for url in ("https://refer2.example.com", "http://refer2.example.com"):
        with RawServer(sends(response(407), then=Connection.close)) as proxy:
            proxied = new_client(http_proxy=proxy.url)
            assert proxied.refer(shop_at(url), job()) == Halted(407, "http_407", None, every_shop=False)
            proxied.close()
        assert TOKEN.encode() not in proxy.requests[0] or url.startswith("http:")


@pytest.mark.parametrize("refusal", [response(403, b"<html>"), response(502), b"nonsense\r\n\r\n", b""])
def test_a_proxy_that_refuses_the_tunnel(refusal: bytes) -> None:
    """Without a tunnel nothing reaches Refer2, so the call may be made again."""
    with RawServer(sends(refusal, then=Connection.close)) as proxy:
        proxied = new_client(http_proxy=proxy.url)
        assert proxied.refer(shop_at("https://refer2.example.com"), job()) == UNREACHABLE
        proxied.close()
    (request,) = proxy.requests
    assert request.startswith(b"CONNECT refer2.example.com:443 ")
    assert TOKEN.encode() not in request


def test_a_tunnel(tmp_path: Path) -> None:
    """Through a proxy HTTPS goes as if there were none: each request on the tunnel is the same to the byte."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("refer2.example.com").configure_cert(tls)
    with RawServer(sends(OK), tls=tls) as server, RawServer(lambda client: client.tunnel(server.port)) as proxy:
        proxied = new_client(http_proxy=f"http://user:pass@127.0.0.1:{proxy.port}", ca_file=tmp_path / "ca.pem")
        for _ in range(2):
            assert proxied.refer(shop_at("https://refer2.example.com"), job()) == SENT
        proxied.close()
        assert (proxy.connections, server.connections) == (1, 1)
    first, second = server.requests
    assert first == second
    assert first.startswith(b"POST /api/v2023061/acme/Refer2 HTTP/1.1\r\nHost: refer2.example.com\r\n")
    assert b"proxy-authorization" not in first.lower()


def test_tls_is_verified(client: Refer2Client, tmp_path: Path) -> None:
    """A certificate of an unknown authority, or for another name, is refused before anything is sent."""
    authority = tmp_path / "ca.pem"
    authority.write_text(CERTIFICATE)
    trusting = new_client(ca_file=authority)
    with RawServer(sends(OK), tls=server_tls(tmp_path)) as server:
        assert client.refer(shop_at(server.url), job()) == UNREACHABLE
        assert trusting.refer(shop_at(f"https://127.1:{server.port}"), job()) == UNREACHABLE
        assert server.requests == []
        for _ in range(2):
            assert trusting.refer(shop_at(server.url), job()) == SENT
        assert len(server.requests) == 2
    trusting.close()


def test_a_file_without_certificates(tmp_path: Path) -> None:
    """A CA file that holds none is a configuration error that names it."""
    (tmp_path / "ca.pem").write_text("nothing\n")
    with pytest.raises(ConfigurationError, match=r"ca\.pem: no certificates"):
        new_client(ca_file=tmp_path / "ca.pem")


def test_logs_hold_nothing_personal(client: Refer2Client, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """At the lowest level, ours and the libraries', no line shows a token, an address, a body or a secret."""
    caplog.set_level(logging.DEBUG)
    echoing = b"HTTP/1.1 ann@example.com\r\nx-cyd@example.com\r\n\r\n"
    private = job(channel="email", destination="cyd@example.com", sender="bob@example.com")
    with structlog.testing.capture_logs() as logs:
        for reply in (sends(OK), sends(response(404, b"ann@example.com")), sends(echoing), Connection.reset):
            with RawServer(reply) as server:
                client.refer(shop_at(server.url), private)
        client.refer(shop_at(server.url), private)
        with RawServer(sends(OK), tls=server_tls(tmp_path)) as server:
            client.refer(shop_at(server.url), private)
    written = caplog.text + "".join(str(entry) for entry in logs)
    assert not [word for word in ("@example.com", TOKEN, "s3cret") if word in written]
    assert [entry["event"] for entry in logs] == [
        *["refer2_answer_lost"] * 2,
        *["refer2_unreachable"] * 2,
    ]
    assert "CERTIFICATE_VERIFY_FAILED" in logs[-1]["reason"]
    assert "Connection refused" in logs[-2]["reason"]
    assert "POST /api/v2023061/acme/Refer2" in caplog.text


def test_an_outage_is_told_once(client: Refer2Client) -> None:
    """However many jobs meet it: Refer2 out of reach is one warning of a shop, and its return one line."""
    with RawServer(sends(OK)) as server:
        there = shop_at(server.url)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            assert client.refer(there, job()) == UNREACHABLE
        with RawServer(sends(OK)) as server:
            assert client.refer(shop_at(server.url), job()) == SENT
            assert client.refer(shop_at(server.url), job()) == SENT
    told = [(line["event"], line["log_level"]) for line in logs if line["log_level"] != "debug"]
    assert told == [("refer2_unreachable", "warning"), ("refer2_answers_again", "info")]


def test_reading_back(client: Refer2Client) -> None:
    """Referrals are asked for as the shop, by the customer's ids, with their addresses unmasked."""
    listed = {"channel": "sms", "referral_bhid": "r1"}
    with RawServer(sends(response(200, {"referrals": [listed]}))) as server:
        reading = client.read_back(shop_at(server.url), job(customer=Customer(bhid="b1", email="ann@example.com")))
        (request,) = server.requests
    assert reading == Found(200, listed)
    assert request.startswith(b"POST /api/v2023061/acme/CustomerReferrals2 HTTP/1.1\r\n")
    assert fields_of(request)["authorization"] == f"Bearer {TOKEN}"
    assert body_of(request) == {"customer": {"bhid": "b1", "email": "ann@example.com"}, "deanonymize": True}


def test_reading_back_in_vain(client: Refer2Client) -> None:
    """A read without an answer finds nothing out, and one that never left is a Retry."""
    with RawServer(lambda connection: connection.reset()) as server:
        assert client.read_back(shop_at(server.url), job()) == LOST
    assert client.read_back(shop_at(server.url), job()) == UNREACHABLE


def test_status(client: Refer2Client) -> None:
    """Status2 is asked with the shop's token; what is no answer finds nothing out."""
    with RawServer(sends(response(200, {}))) as server:
        assert client.status(shop_at(server.url)) is None
        (request,) = server.requests
        assert client.status(shop_at(server.url, token="customer")) == Unknown(None, "unreadable_answer")
        assert len(server.requests) == 1, "a customer's token is none of the shop"
    assert request.startswith(b"POST /api/v2023061/acme/Status2 HTTP/1.1\r\n")
    assert fields_of(request)["authorization"] == f"Bearer {TOKEN}"
    assert client.status(shop_at(server.url)) == UNREACHABLE


def test_a_date_to_retry_after_is_the_corrected_clocks() -> None:
    """The vendor's date is the world's time, so the wait is counted from the machine's clock as it was put right."""
    clock = ManualClock(from_datetime(datetime(2026, 11, 2, 11, tzinfo=UTC)))
    clock.correct(3600 * SECOND)
    client = Refer2Client(token_of=lambda *_: TOKEN, clock=clock)
    told = {"Retry-After": "Mon, 02 Nov 2026 12:00:30 GMT"}
    with RawServer(sends(response(429, b'{"id":"rate_limit_exceeded"}', told))) as server:
        verdict = client.refer(shop_at(server.url), job())
    client.close()
    assert isinstance(verdict, Throttled)
    assert verdict.retry_after == 30 * SECOND
