"""Credentials that are wrong, put right and rotated, over RabbitMQ against the sandbox."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.integration.rabbitmq.bench import Bench, ShiftedClock, declare, message_of, new_job
from tests.integration.rabbitmq.tap import Tap
from tests.services import Vhost, wait_until
from worker.clock import Clock
from worker.model.verdicts import Verdict
from worker.rabbitmq.topology import JOBS, RESULTS
from worker.refer2.client import Refer2Client
from worker.refer2.tokens import TokenMaker
from worker.sandbox.calls import Call
from worker.sandbox.config import SandboxConfig
from worker.sandbox.server import RunningSandbox
from worker.scheduling.breaker import FIRST_CLOSURE, LONGEST_CLOSURE
from worker.shops.config import ShopConfig
from worker.shops.registry import ShopRegistry

OLD, NEW = "the old secret of forty characters or so", "the new secret of forty characters or so"

MAX_IN_FLIGHT = 4


class Folder:
    """A shops file and its secret."""

    def __init__(self, folder: Path, url: str) -> None:
        self.shops = folder / "shops.toml"
        self.secret = folder / "secret"
        self._url = url

    def write_key_id(self, key_id: str) -> None:
        settings = f"per_second = 2000\nburst = 2000\nmax_in_flight = {MAX_IN_FLIGHT}\n"
        table = f'[shops.acme]\nbase_url = "{self._url}"\nkey_id = "{key_id}"\nsecret_file = "secret"\n{settings}'
        self.shops.write_text(table)


class CountingClient:
    """The real client, which notes each question about a token."""

    def __init__(self, clock: Clock) -> None:
        self._client = Refer2Client(token_of=TokenMaker(clock).token, clock=clock)
        self.refer = self._client.refer
        self.questions = 0

    def status(self, shop: ShopConfig) -> Verdict | None:
        self.questions += 1
        return self._client.status(shop)

    def close(self) -> None:
        self._client.close()


@contextmanager
def sandbox_with(*secrets: str) -> Iterator[RunningSandbox]:
    """A sandbox that takes these secrets of acme, under the key ids k1, k2 …"""
    keys = {f"k{number}": secret for number, secret in enumerate(secrets, start=1)}
    with RunningSandbox(SandboxConfig(shops={"acme": keys}, limits=None)) as running:
        yield running


def told(calls: list[Call]) -> Counter[str]:
    """How many calls were answered how."""
    return Counter(call.code for call in calls)


def test_a_bad_secret_burns_nothing(vhost: Vhost, tap: Tap, tmp_path: Path) -> None:
    """However long the secret is wrong: a handful of calls, no result, every job in its queue; put right, all go."""
    jobs = [new_job(number) for number in range(300)]
    declare(vhost)
    for job in jobs:
        tap.put(JOBS, "acme", message_of(job))
    clock = ShiftedClock()
    client = CountingClient(clock)
    with sandbox_with(NEW) as sandbox:
        folder = Folder(tmp_path, sandbox.url)
        folder.write_key_id("k1")
        folder.secret.write_text(OLD)
        registry = ShopRegistry.load(folder.shops)
        worker = Bench(vhost, [], client.refer, registry=registry, clock=clock, status=client.status)
        with worker:

            def paused(times: int) -> bool:
                # Once every call is over: one that began before a pause and ends after it would count as another.
                gate = worker.broker.gate
                return worker.count("pauses", cause="halted") == times and gate is not None and gate.in_flight == 0

            pause = FIRST_CLOSURE
            for number in range(1, 10):
                wait_until(partial(paused, number), 20, "the next pause")
                clock.shift += pause
                pause = min(pause * 2, LONGEST_CLOSURE)
            wait_until(partial(paused, 10), 20, "the last pause")
            assert client.questions == 9
            assert told(sandbox.calls()).keys() == {"invalid_token"}
            assert len(sandbox.calls()) <= MAX_IN_FLIGHT
            assert worker.count("results") == 0
            folder.secret.write_text(NEW)
            results = tap.take(RESULTS, len(jobs), 60)
        assert len(results) == len(jobs)
        assert told(sandbox.calls())["ok"] == len(jobs)
        assert all(".sent." in result.routing_key for result in results)
    client.close()


def test_a_rotation_loses_and_duplicates_nothing(vhost: Vhost, tap: Tap, tmp_path: Path) -> None:
    """While both keys are taken, a shop moves from one to the other in mid-campaign: one call and one result a job.

    Its two files are not written at one instant, so that for a moment the new id goes with the old secret.
    """
    jobs = [new_job(number) for number in range(600)]
    declare(vhost)
    clock = ShiftedClock()
    client = CountingClient(clock)
    with sandbox_with(OLD, NEW) as sandbox:
        folder = Folder(tmp_path, sandbox.url)
        folder.write_key_id("k1")
        folder.secret.write_text(OLD)
        registry = ShopRegistry.load(folder.shops)
        with Bench(vhost, [], client.refer, registry=registry, clock=clock, status=client.status) as worker:
            for job in jobs[:200]:
                tap.put(JOBS, "acme", message_of(job))
            wait_until(lambda: told(sandbox.calls())["ok"] >= 100, 30, "half of the first part")
            folder.write_key_id("k2")
            for job in jobs[200:400]:
                tap.put(JOBS, "acme", message_of(job))
            # The file is looked at once a second, by when a fast worker has done all of these.
            wait_until(lambda: registry.version > 1, 20, "the new id")
            for job in jobs[400:]:
                tap.put(JOBS, "acme", message_of(job))
            wait_until(lambda: "halted" in worker.closed("acme"), 20, "the new id with the old secret to be refused")
            folder.secret.write_text(NEW)
            results = tap.take(RESULTS, len(jobs), 60)
        calls = [call for call in sandbox.calls() if call.code == "ok"]
    client.close()
    assert {call.key_id for call in calls} == {"k1", "k2"}
    assert Counter(str(call.body and call.body["customer"]["shopid"]) for call in calls) == {
        job.customer.shopid: 1 for job in jobs
    }
    assert len({result.body for result in results}) == len(jobs)
    assert told(sandbox.calls()).keys() == {"ok", "invalid_token"}
