"""Answers ``ListCustomers3`` and ``ListCustomers2`` from the file of customers, as JSON lines."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from worker.sandbox.customer_file import CustomerFile, line_of
from worker.sandbox.responses import RefusedError

_DEFAULT_LIMIT = 1000
_JSONL = "application/x-ndjson"


class CustomerLists:
    """Streams lists; one at a time for each shop, and a second reader is answered 429."""

    def __init__(self, file: CustomerFile | None) -> None:
        self.read: Counter[str] = Counter()
        """Lists that were begun, by shop."""
        self._file = file
        self._under_way: set[str] = set()

    async def answer(self, request: web.Request, shop: str, query: Mapping[str, Any]) -> web.StreamResponse:
        """The list that the query asks for. ``fields`` is ignored: the sandbox knows nothing else of a customer.

        Raises:
          RefusedError: there is no file, another reader is at work, or the query asks for what is not emulated.
        """
        if self._file is None:
            # Anybody is a customer then, and an empty list would say that nobody is.
            raise RefusedError(404, "no_customer_list", "start the sandbox with --customers FILE")
        if str(query.get("format", "JSON")).upper() != "JSONL":
            raise RefusedError(400, "invalid_request", "the sandbox writes lists as JSONL only")
        most = _limit(query.get("limit", _DEFAULT_LIMIT))
        if shop in self._under_way:
            raise RefusedError(429, "rate_limit_exceeded", "one reader at a time for this shop", 1)
        self.read[shop] += 1
        self._under_way.add(shop)
        try:
            return await self._stream(request, self._file, most)
        finally:
            self._under_way.discard(shop)

    async def _stream(self, request: web.Request, file: CustomerFile, most: int | None) -> web.StreamResponse:
        bhid_as = "bhid" if request.match_info["call"] == "ListCustomers3" else "bh_id"
        response = web.StreamResponse(headers={"Content-Type": _JSONL})
        await response.prepare(request)
        for some in file.rows(most):
            await response.write("".join(line_of(*row, bhid_as=bhid_as) for row in some).encode())
            # A write to a fast reader doesn't wait, and others want an answer too.
            await asyncio.sleep(0)
        await response.write_eof()
        return response


def _limit(value: object) -> int | None:
    try:
        limit = int(str(value))
    except ValueError:
        raise RefusedError(400, "invalid_request", "limit is not a number") from None
    return None if limit < 0 else limit
