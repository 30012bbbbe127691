"""Puts what earlier runs left in the journal back into a new store: open calls, repeats, and the day's counts."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from worker.store.memory.ledger import Started, Waiting
from worker.store.memory.store import MemoryStore
from worker.store.protocol import AdmitRequest

RequestOf = Callable[[str, str, str], AdmitRequest | None]
"""Builds a request from shop, customer and job id, with today's limits; None for a shop that is gone."""

_Call = tuple[str, str, int]
"""Shop, customer and instant of a call."""


def restore(lines: Iterable[Mapping[str, Any]], store: MemoryStore, request_of: RequestOf) -> None:
    """Fill the store from the journal's lines, in their order. Called once, before the run starts.

    A job whose last line is ``started`` was called without an answer: it is up for takeover. A job with a ``result`` is
    done and leaves nothing but its call in the day's counts.
    """
    records: dict[str, Started | Waiting] = {}
    calls: dict[str, _Call] = {}
    for line in lines:
        match line:
            case {"event": "started", "job_id": job_id, "shop": shop, "customer": customer, "at": at}:
                # Epoch and lease are 0: the process that made this call is gone, so nobody has to wait for its lease.
                records[job_id] = Started(
                    0, 0, line["attempts"], line["takeovers"], unknowns=line["unknowns"], elapsed=line["elapsed"]
                )
                # A call that came before this one is certain now, whatever became of it.
                _count(store, request_of, calls.pop(job_id, None), job_id)
                calls[job_id] = (shop, customer, at)
            case {"event": "released", "job_id": job_id, "attempts": attempts, "called": called}:
                records[job_id] = Waiting(attempts, line["takeovers"], 0, line["unknowns"], line["elapsed"])
                if not called:
                    # The grant was not used, so Refer2 has not counted a call.
                    calls.pop(job_id, None)
            case {"event": "repeat", "job_id": job_id, "attempts": attempts, "not_before": not_before}:
                records[job_id] = Waiting(attempts, line["takeovers"], not_before, line["unknowns"], line["elapsed"])
            case {"event": "result", "result": result}:
                records.pop(result["job_id"], None)
                _count(store, request_of, calls.pop(result["job_id"], None), result["job_id"])
            case _:
                continue
    for job_id, call in calls.items():
        _count(store, request_of, call, job_id)
    for job_id, record in records.items():
        store.load_record(job_id, record)


def _count(store: MemoryStore, request_of: RequestOf, call: _Call | None, job_id: str) -> None:
    if call is None:
        return
    shop, customer, at = call
    request = request_of(shop, customer, job_id)
    if request is not None:
        store.count_earlier_call(request, at)
