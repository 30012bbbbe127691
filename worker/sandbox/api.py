"""The emulator's HTTP side: Refer2 and its neighbours as an aiohttp application.

All handlers run on one event loop, in one thread, so their state needs no locks.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from aiohttp import web

from worker.clock import Clock
from worker.instants import SECOND
from worker.model.rehearsal import TEXTS
from worker.sandbox.calls import OK, CallLog, OpenCall
from worker.sandbox.config import SandboxConfig
from worker.sandbox.customer_lists import CustomerLists
from worker.sandbox.customers import Directory, Identity, identify
from worker.sandbox.faults import lose_answer, page
from worker.sandbox.history import rewards_of
from worker.sandbox.misbehaviour import Behaviour, Misbehaviour
from worker.sandbox.referrals import ReferralBook, read_channel
from worker.sandbox.responses import RefusedError, encode, json_response
from worker.sandbox.throttle import Throttle
from worker.sandbox.tokens import Credentials, Token
from worker.text.bounds import MESSAGE, loads

CALL_LOG: web.AppKey[CallLog] = web.AppKey("call_log", CallLog)
"""The key under which an application keeps its record of calls."""


def create_app(config: SandboxConfig, clock: Clock) -> web.Application:
    """The emulator as an application. It must be served with ``handler_cancellation``, so that callers may give up.

    Raises:
      InputError: the file of customers can't be read; or, at the application's start, the log can't be written.
    """
    log = CallLog(config.keep_calls)
    api = _Api(config, clock, log)
    app = web.Application()
    app[CALL_LOG] = log
    app.add_routes(api.routes())
    app.on_shutdown.append(api.stop)

    async def files(_: web.Application) -> AsyncIterator[None]:
        try:
            if config.log is not None:
                log.open(config.log)
            yield
        finally:
            log.close()
            api.close()

    app.cleanup_ctx.append(files)
    return app


class _Api:
    def __init__(self, config: SandboxConfig, clock: Clock, log: CallLog) -> None:
        self._config = config
        self._clock = clock
        self._log = log
        self._credentials = Credentials(config)
        self._directory = Directory(config)
        self._lists = CustomerLists(self._directory.file)
        self._misbehaviour = Misbehaviour(config.behaviours)
        self._writes = Throttle(config.limits, config.max_delay) if config.limits else None
        self._reads = Throttle(config.read_limits, config.max_delay) if config.read_limits else None
        self._book = ReferralBook()
        self._stopping = asyncio.Event()

    def close(self) -> None:
        """Close the file of customers."""
        self._directory.close()

    def routes(self) -> list[web.RouteDef]:
        """Refer2's and its neighbours' paths, and two of the sandbox's own that show what was received."""
        prefix = "/api/{version}/{shop}"
        return [
            web.post(f"{prefix}/Refer2", self.refer2),
            *(web.route(verb, f"{prefix}/Status2", self.status2) for verb in ("GET", "POST")),
            *(web.route(verb, f"{prefix}/CustomerReferrals2", self.referrals2) for verb in ("GET", "POST")),
            *(web.route(verb, f"{prefix}/{{call:ListCustomers[23]}}", self.list_customers) for verb in ("GET", "POST")),
            *(web.route(verb, f"{prefix}/ListHistory1", self.history) for verb in ("GET", "POST")),
            web.get("/_sandbox/calls", self.calls),
            web.get("/_sandbox/summary", self.summary),
        ]

    async def stop(self, _: web.Application) -> None:
        """Let held calls end: they are answered 503."""
        self._stopping.set()

    async def refer2(self, request: web.Request) -> web.StreamResponse:
        """Make a referral. Every call that arrives is recorded once, however it ends."""
        info = request.match_info
        open_call = self._log.begin(self._clock.now(), info["shop"], info["version"])
        try:
            return await self._refer(request, open_call)
        except RefusedError as refused:
            self._log.end(open_call, refused.status, refused.code)
            return refused.response()
        except web.HTTPException as error:
            self._log.end(open_call, error.status, f"http_{error.status}")
            raise
        except asyncio.CancelledError:
            # The caller hung up. A held call that nobody waits for must not stay in progress for ever.
            self._log.end(open_call, None, "abandoned")
            raise

    # A call with a bad token is refused before it is counted by the limits. Its own fields are checked last.
    async def _refer(self, request: web.Request, open_call: OpenCall) -> web.StreamResponse:
        """The steps of a call up to its answer."""
        token = self._authorize(request, open_call.arrived_at)
        open_call.key_id, open_call.subject = token.key_id, token.subject
        body = open_call.body = _parse(await request.read())
        identity = identify(body.get("customer"), token)
        open_call.delayed_seconds = await self._hold(self._writes, token.shop, identity)
        behaviour = self._misbehaviour.next(token.shop, identity.ids)
        if behaviour is not None and behaviour.kind == "error":
            message = "this customer's id or address asks for this error"
            raise RefusedError(behaviour.status, behaviour.code, message, behaviour.retry_after)
        if behaviour is not None and behaviour.kind == "page":
            self._log.end(open_call, behaviour.status, f"http_{behaviour.status}")
            return page(behaviour.status, behaviour.retry_after)
        self._directory.check(identity)
        channel, destination = read_channel(body)
        if behaviour is not None:
            return await self._misbehave(request, open_call, behaviour, identity)
        answer = self._make(token.shop, identity, channel, destination)
        self._log.end(open_call, 200, OK)
        return json_response(answer)

    def _make(self, shop: str, identity: Identity, channel: str, destination: str | None) -> bytes:
        """Make the referral, and return the answer's body."""
        referral = self._book.refer(shop, identity.key, channel, destination, self._clock.now())
        answer: dict[str, Any] = {
            "message": f"{TEXTS}nothing was sent, and the link leads nowhere. Thank you for recommending {shop}!",
            "referral": referral.document(),
        }
        share_action = referral.share_action()
        if share_action is not None:
            answer["share_action"] = share_action
        return encode(answer)

    async def _misbehave(
        self, request: web.Request, open_call: OpenCall, behaviour: Behaviour, identity: Identity
    ) -> web.StreamResponse:
        """Answer a good call badly, with or without its referral."""
        # A caller whose answer gets lost can't tell whether the referral was made. So both must be testable.
        answer = b'{"message":"nothing was done"}'
        if behaviour.performed:
            answer = self._make(open_call.shop, identity, *read_channel(open_call.body or {}))
        unanswered = behaviour.kind in ("timeout", "reset")
        self._log.end(open_call, None if unanswered else 200, behaviour.kind)
        return await lose_answer(request, behaviour.kind, answer, self._stopping)

    async def status2(self, request: web.Request) -> web.StreamResponse:
        """Check the token. It counts for no limit and is not recorded."""
        try:
            token = self._authorize(request, self._clock.now())
        except RefusedError as refused:
            return refused.response()
        return json_response(encode({"valid": True, "shop": token.shop}))

    async def referrals2(self, request: web.Request) -> web.StreamResponse:
        """The customer's referrals; the customer may be in the URL or in a JSON body."""
        try:
            token = self._authorize(request, self._clock.now())
            raw = await request.read()
            query = _parse(raw) if raw else _from_url(request)
            identity = identify(query.get("customer"), token)
            await self._hold(self._reads, token.shop, identity)
            self._directory.check(identity)
        except RefusedError as refused:
            return refused.response()
        # As the vendor's: only a shop token that asks for it sees addresses, which is why `verify` needs a shop token.
        masked = token.customer is not None or query.get("deanonymize") is not True
        entries = [
            entry
            for referral in self._book.of(token.shop, identity.key)
            for entry in referral.acceptances(self._config.accepted, masked=masked)
            or [referral.document(masked=masked)]
        ]
        return json_response(encode({"referrals": entries}))

    async def history(self, request: web.Request) -> web.StreamResponse:
        """The rewards for referrals, a line of JSON each; of the history's topics the sandbox has no other."""
        try:
            token = self._authorize(request, self._clock.now())
            if token.customer is not None:
                raise RefusedError(403, "access_denied", "the history needs a shop token")
            raw = await request.read()
            query = _parse(raw) if raw else dict(request.query)
            if str(query.get("format", "JSON")).upper() != "JSONL":
                raise RefusedError(400, "invalid_request", "the sandbox writes the history as JSONL only")
        except RefusedError as refused:
            return refused.response()
        rows = rewards_of(self._book, token.shop, self._config.accepted, str(query.get("start_time") or ""))
        return web.Response(body=b"".join(encode(row) + b"\n" for row in rows), content_type="application/x-ndjson")

    async def list_customers(self, request: web.Request) -> web.StreamResponse:
        """Every customer of the shop; it changes nothing, and is counted apart from the calls."""
        try:
            token = self._authorize(request, self._clock.now())
            if token.customer is not None:
                raise RefusedError(403, "access_denied", "a list of customers needs a shop token")
            raw = await request.read()
            return await self._lists.answer(request, token.shop, _parse(raw) if raw else dict(request.query))
        except RefusedError as refused:
            return refused.response()

    async def calls(self, _: web.Request) -> web.StreamResponse:
        """The latest calls, one JSON object per line, with addresses and bodies."""
        return web.Response(text=self._log.lines(), content_type="application/x-ndjson")

    async def summary(self, _: web.Request) -> web.StreamResponse:
        """The number of calls by shop and code, of those that are not answered yet, and of customer lists by shop."""
        shops = self._log.summary()
        total = sum(sum(codes.values()) for codes in shops.values())
        counts = {"calls": total, "in_progress": self._log.in_progress, "shops": shops, "lists": self._lists.read}
        return json_response(encode(counts))

    def _authorize(self, request: web.Request, now: int) -> Token:
        """The token of a request.

        Raises:
          HTTPNotFound: the sandbox doesn't have the shop.
          RefusedError: the token or the API version is refused.
        """
        shop, version = request.match_info["shop"], request.match_info["version"]
        # Without Refer2's error form: that is what a wrong slug gets, and the worker must notice the difference.
        if not self._credentials.knows(shop):
            raise web.HTTPNotFound(text="the sandbox has no shop of this name")
        token = self._credentials.verify(request.headers.get("Authorization"), shop, now)
        if version not in self._config.versions:
            raise self._wrong_version(version)
        return token

    def _wrong_version(self, version: str) -> RefusedError:
        if version in self._config.obsolete_versions:
            return RefusedError(400, "obsolete_global_api_version", "this API version is no longer served")
        if version in self._config.inaccessible_versions:
            return RefusedError(400, "inaccessible_global_api_version", "this API version is not open to this shop")
        return RefusedError(400, "invalid_global_api_version", "there is no such API version")

    async def _hold(self, throttle: Throttle | None, shop: str, identity: Identity) -> float:
        """Hold back a call that is over its limits, as Refer2 does; returns for how many seconds."""
        if throttle is None:
            return 0.0
        now = self._clock.now()
        seconds = (throttle.admit(shop, identity.key, now) - now) / SECOND
        if seconds > 0:
            # The wait ends early only if the sandbox stops; otherwise the time-out is the normal end.
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stopping.wait()
                raise RefusedError(503, "sandbox_stopping", "the sandbox is being stopped")
        return seconds


def _parse(raw: bytes) -> dict[str, Any]:
    """The JSON object in a body.

    Raises:
      RefusedError: there is none.
    """
    try:
        body = loads(raw, MESSAGE)
    except ValueError:
        raise RefusedError(400, "invalid_request", "the body is not JSON") from None
    if not isinstance(body, dict):
        raise RefusedError(400, "invalid_request", "the body is not a JSON object")
    return body


def _from_url(request: web.Request) -> dict[str, Any]:
    ids = {kind: value for kind, value in request.query.items() if kind in ("bhid", "shopid", "email")}
    return {"customer": ids or None, "deanonymize": request.query.get("deanonymize") == "true"}
