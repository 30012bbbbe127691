"""A campaign in one process, against the sandbox: what every row comes to, across runs too."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import dramatiq
import pytest

from tests.services.wait import wait_until
from worker.app import build_embedded
from worker.campaigns.containers.plain import PlainFile
from worker.campaigns.dedup import JobIndex
from worker.campaigns.importer import Importer
from worker.campaigns.options import ImportOptions
from worker.clock import Clock, SystemClock
from worker.embedded.job_reader import READ_AHEAD
from worker.embedded.journal import Journal
from worker.embedded.port import MOST_INSIDE
from worker.embedded.run import EmbeddedRun, Tally
from worker.embedded.state import RunState
from worker.errors import ConfigurationError, InputError, ReferralError, UsageError
from worker.instants import DAY, SECOND, from_datetime
from worker.limits.token_bucket import next_reset
from worker.model.campaign_orders import Brake
from worker.model.dispositions import Later
from worker.model.job import Customer, Job
from worker.model.verdicts import Sent
from worker.model.windows import MARGIN
from worker.refer2.client import Refer2Client
from worker.refer2.tokens import TokenMaker
from worker.sandbox.calls import Call
from worker.sandbox.config import SANDBOX_KEY_ID, SANDBOX_SECRET, SandboxConfig
from worker.sandbox.misbehaviour import Behaviour
from worker.sandbox.server import RunningSandbox
from worker.settings import Settings
from worker.shops.config import ShopConfig, ShopTable
from worker.shops.credentials import SigningKey
from worker.shops.registry import ShopRegistry
from worker.store.memory.store import MemoryStore
from worker.store.protocol import AdmitRequest, Grant

Row = tuple[str, str, str]
"""Address, channel, destination."""

TICK = 0.02


class HastyClock:
    """The system's clock at ten times its pace, for pauses that nobody wants to sit through."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._began = self._clock.now()

    def now(self) -> int:
        return self._began + 10 * (self._clock.now() - self._began)

    def ahead(self) -> int:
        return 0


class MovedClock:
    """The system's clock, moved to noon of its day; :meth:`next_day` moves it on."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._ahead = DAY // 2 - self._clock.now() % DAY

    def now(self) -> int:
        return self._clock.now() + self._ahead

    def ahead(self) -> int:
        return 0

    def next_day(self) -> None:
        self._ahead += DAY


@dataclass
class Bench:
    """A folder and a sandbox to run campaigns in; each shop signs with the sandbox's own key."""

    folder: Path
    sandbox: RunningSandbox

    @property
    def out(self) -> Path:
        return self.folder / "results.csv"

    @property
    def journal(self) -> Path:
        return self.folder / "results.csv.journal"

    def export(self, rows: Sequence[Row], *, shops: Sequence[str] = ()) -> Path:
        """An export with these rows; with ``shops``, the rows name them by turns."""
        path = self.folder / "export.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["customer_email", "channel", "destination", "reference", *(["shop"] if shops else [])])
            for number, row in enumerate(rows):
                writer.writerow([*row, f"r{number}", *([shops[number % len(shops)]] if shops else [])])
        return path

    def shop(self, slug: str = "acme", **table: Any) -> ShopConfig:
        """A shop at the sandbox, with no limit to speak of but for what ``table`` says."""
        usual: dict[str, Any] = {"base_url": self.sandbox.url, "per_second": 2000.0, "burst": 2000}
        usual["customer_per_second"] = 2000.0
        return ShopConfig.of(slug, SigningKey(SANDBOX_KEY_ID, SANDBOX_SECRET.encode()), ShopTable(**usual | table))

    def embedded(
        self,
        export: Path,
        *shops: ShopConfig,
        registry: ShopRegistry | None = None,
        clock: Clock | None = None,
        threads: int = 8,
        patient: bool = False,
        brake: Brake | None = None,
        **options: Any,
    ) -> EmbeddedRun:
        """A run that is yet to be called; rows that name no shop are of the shop acme."""
        known = registry or ShopRegistry.of(*(shops or [self.shop()]))
        import_options = ImportOptions(**{"shop": "acme", "campaign": "spring"} | options)

        def importer_of(index: JobIndex) -> Importer:
            return Importer(
                [PlainFile(export)],
                import_options,
                index=index,
                published_at=datetime.now(UTC),
                allowed_shops=known.slugs(),
            )

        ticking = clock or SystemClock()
        return EmbeddedRun(
            lambda store, run: build_embedded(Settings(), known, store, ticking, run, threads),
            known,
            importer_of,
            out=self.out,
            campaign=import_options.campaign,
            clock=ticking,
            threads=threads,
            patient=patient,
            brake=brake,
        )

    def run(self, export: Path, *shops: ShopConfig, **options: Any) -> Tally:
        """Run a campaign to its end."""
        embedded = self.embedded(export, *shops, **options)
        embedded(lambda: None, every=TICK)
        return embedded.tally

    def results(self) -> list[dict[str, str]]:
        with self.out.open(newline="") as file:
            return list(csv.DictReader(file, strict=True))

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The journal's lines of one kind."""
        every = [json.loads(line) for line in self.journal.read_bytes().splitlines()]
        return [line for line in every if line["event"] == event]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A bench with a sandbox of its own that has no limits."""
    with RunningSandbox(SandboxConfig(limits=None)) as running:
        yield Bench(tmp_path, running)


def people(number: int, channel: str = "whatsapp") -> list[Row]:
    """Rows of as many customers."""
    return [(f"ann{each}@example.com", channel, "") for each in range(number)]


def customer(call: Call) -> str:
    assert call.body is not None
    return str(call.body["customer"]["email"])


def test_what_expired_is_tried_again(bench: Bench) -> None:
    """A row that expired in one run is called by the next, and has one row in the results: that of its call."""
    export = bench.export(people(5))
    past = datetime(2026, 1, 1, tzinfo=UTC)
    assert bench.run(export, not_after=past).outcomes == {"expired": 5}
    assert bench.run(export, not_after=past, limit=2).outcomes == {"expired": 2}
    assert Counter(row["outcome"] for row in bench.results()) == {"expired": 5}
    tally = bench.run(export, limit=3)
    assert (tally.outcomes, tally.earlier) == ({"sent": 3}, 2)
    assert Counter(row["outcome"] for row in bench.results()) == {"expired": 2, "sent": 3}
    assert bench.run(export).outcomes == {"sent": 2}
    assert bench.run(export).outcomes == {}
    assert Counter(row["outcome"] for row in bench.results()) == {"sent": 5}
    assert len({row["job_id"] for row in bench.results()}) == len(bench.sandbox.calls()) == 5


def in_two_hours() -> tuple[str, int]:
    """A window of an hour that opens in about two, and its opening (microseconds)."""
    opening = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=2)
    text = f"{opening:%a %H:%M}-{opening:%H}:59 UTC"
    return text, from_datetime(opening) + MARGIN


@pytest.mark.parametrize("channels", [["email"], ["*"]])
def test_rows_outside_of_their_window_are_left_for_a_later_run(bench: Bench, channels: list[str]) -> None:
    """By a run that doesn't wait; rows of another channel are called."""
    window, opening = in_two_hours()
    rows = people(3) + [(f"eve{each}@example.com", "email", f"bob{each}@example.com") for each in range(4)]
    tally = bench.run(bench.export(rows), bench.shop(window=window, window_channels=channels))
    every = "*" in channels
    assert tally.outcomes == ({} if every else {"sent": 3})
    assert tally.parked == {"acme": 7 if every else 4}
    assert abs(tally.parked_until - opening) < SECOND
    assert tally.outside == (7 if every else 4)
    assert abs(tally.opens_at - opening) < SECOND
    assert len(bench.sandbox.calls()) == (0 if every else 3)


@pytest.mark.parametrize("channels", [["email"], ["*"]])
def test_a_patient_run_waits_for_the_window_and_says_until_when(bench: Bench, channels: list[str]) -> None:
    window, opening = in_two_hours()
    rows = [(f"eve{each}@example.com", "email", f"bob{each}@example.com") for each in range(4)]
    shop = bench.shop(window=window, window_channels=channels)
    embedded = bench.embedded(bench.export(rows), shop, patient=True)

    def stop_once_it_rests() -> None:
        if embedded.resting_until:
            assert abs(embedded.resting_until - opening) < SECOND
            assert embedded.resting == 4
            embedded.stop()

    embedded(stop_once_it_rests, every=TICK)
    assert embedded.tally.stopped
    assert embedded.tally.outcomes == {}
    assert bench.sandbox.calls() == []


def assert_paced(calls: Sequence[Call], *, burst: int, per_second: float, bunched: int) -> None:
    """In no stretch of time did more arrive than the bucket holds and gains, plus those that were on their way."""
    times = [call.arrived_at for call in calls]
    for first in range(len(times)):
        for last in range(first, len(times)):
            allowed = burst + bunched + per_second * (times[last] - times[first]) / SECOND
            assert last - first + 1 <= allowed, (first, last)


def test_every_row_is_one_call_and_one_result(bench: Bench) -> None:
    """Each row's call carries its own fields, and its result the link and what is left to share."""
    channels = ("whatsapp", "sms", "qr-code", "email")
    rows = [
        (f"ann{number}@example.com", channel, f"bob{number}@example.com" if channel == "email" else "")
        for number, channel in enumerate(channels * 10)
    ]
    tally = bench.run(bench.export(rows))

    calls = {customer(call): call for call in bench.sandbox.calls()}
    assert len(bench.sandbox.calls()) == len(calls) == len(rows)
    results = bench.results()
    assert Counter(result["customer_email"] for result in results) == Counter(email for email, _, _ in rows)
    assert tally.outcomes == {"sent": len(rows)}
    for result in results:
        email, channel, destination = rows[int(result["reference"].removeprefix("r"))]
        call = calls[email]
        assert (call.shop, call.subject, call.key_id) == ("acme", "acme", SANDBOX_KEY_ID)
        assert call.body == {"customer": {"email": email}, "channel": channel} | (
            {"destination": destination} if destination else {}
        )
        assert (result["customer_email"], result["channel"], result["destination"]) == (email, channel, destination)
        assert (result["outcome"], result["code"], result["attempts"]) == ("sent", "", "1")
        assert result["link"].startswith("https://sandbox.invalid/acme/r/")
        assert (result["share_action"] == "") == (channel == "email")
        assert result["finished_at"] >= result["called_at"] >= result["published_at"] != ""


def test_each_outcome_is_told_with_its_code(bench: Bench) -> None:
    """What the shop turns down, what fails to the end, what stays unknown, and what a repeat or a wait fixes."""
    expected = {
        "stranger": ("rejected", "no_customers_match_customer_identity", "404", "1"),
        "mismatch": ("rejected", "customer_identity_partially_mismatches_matched_customer", "404", "1"),
        "rule": ("rejected", "sandbox_shop_rule", "422", "1"),
        "fail503": ("failed", "http_503", "503", "2"),
        "reset": ("unknown", "connection_lost", "", "1"),
        "notjson": ("unknown", "unreadable_answer", "200", "1"),
        "noreferral": ("unknown", "unreadable_answer", "200", "1"),
        "fail500x1": ("sent", "", "200", "2"),
        "throttledx1": ("sent", "", "200", "1"),
        "well": ("sent", "", "200", "1"),
    }
    export = bench.export([(f"{name}+ann@example.com", "whatsapp", "") for name in expected])
    tally = bench.run(export, bench.shop(max_attempts=2, on_unknown="report"))

    told = {
        result["customer_email"].partition("+")[0]: tuple(
            result[name] for name in ("outcome", "code", "status", "attempts")
        )
        for result in bench.results()
    }
    assert told == expected
    assert tally.outcomes == {"sent": 3, "rejected": 3, "unknown": 3, "failed": 1}
    calls = Counter(customer(call).partition("+")[0] for call in bench.sandbox.calls())
    assert calls == Counter(dict.fromkeys(expected, 1)) + Counter(["fail503", "fail500x1", "throttledx1"])


def test_a_lost_answer_is_called_for_again(bench: Bench) -> None:
    """By default an answer that was lost is asked for once more, and the referral is the one that was made."""
    bench.run(bench.export([("resetx1+ann@example.com", "whatsapp", "")]))
    (result,) = bench.results()
    assert (result["outcome"], result["attempts"]) == ("sent", "2")
    assert len(bench.sandbox.calls()) == 2


def test_several_shops_in_one_export(tmp_path: Path) -> None:
    """Each row goes to the shop that it names, under that shop's own credential; an unknown shop's row is a reject."""
    secrets = {slug: f"the secret of shop {slug} with its 32 bytes" for slug in ("north", "south")}
    shops = {slug: {f"key-{slug}": secret} for slug, secret in secrets.items()}
    with RunningSandbox(SandboxConfig(shops=shops, limits=None)) as sandbox:
        bench = Bench(tmp_path, sandbox)
        configs = [
            ShopConfig.of(slug, SigningKey(f"key-{slug}", secret.encode()), ShopTable(base_url=sandbox.url))
            for slug, secret in secrets.items()
        ]
        embedded = bench.embedded(bench.export(people(30), shops=["north", "south", "west"]), *configs, shop=None)
        importer = embedded(lambda: None, every=TICK)

        assert Counter(call.shop for call in sandbox.calls()) == {"north": 10, "south": 10}
        assert all((call.subject, call.key_id) == (call.shop, f"key-{call.shop}") for call in sandbox.calls())
    results = bench.results()
    assert Counter((result["shop"], result["outcome"]) for result in results) == {
        ("north", "sent"): 10,
        ("south", "sent"): 10,
    }
    assert all(result["link"].startswith(f"https://sandbox.invalid/{result['shop']}/") for result in results)
    assert importer.rejected == {"no_shop": 10}


def test_the_paces_of_shop_and_customer_are_kept(bench: Bench) -> None:
    """On the receiving side no stretch of time holds more calls than the buckets allow."""
    mine = [("ann@example.com", "whatsapp", ""), ("ann@example.com", "sms", "")]
    mine += [("ann@example.com", "email", f"bob{number}@example.com") for number in range(4)]
    export = bench.export(mine + people(36))
    shop = bench.shop(per_second=20.0, burst=4, customer_per_second=3.0, max_in_flight=3)
    tally = bench.run(export, shop)

    assert tally.outcomes == {"sent": 42}
    calls = bench.sandbox.calls()
    assert_paced(calls, burst=4, per_second=20, bunched=3)
    anns = [call for call in calls if customer(call) == "ann@example.com"]
    assert len(anns) == 6
    assert_paced(anns, burst=3, per_second=3, bunched=1)


def test_a_wall_of_one_customer_stalls_nobody(bench: Bench) -> None:
    """A customer with many rows waits alone: the others are done long before."""
    wall = [("wall@example.com", "email", f"bob{number}@example.com") for number in range(24)]
    tally = bench.run(bench.export(wall + people(60)), bench.shop(customer_per_second=8.0))
    assert tally.outcomes == {"sent": 84}
    order = [customer(call) for call in bench.sandbox.calls()]
    last_other = max(place for place, who in enumerate(order) if who != "wall@example.com")
    assert Counter(order[:last_other])["wall@example.com"] <= 16


def test_a_brake_does_not_wait_for_what_waits(bench: Bench) -> None:
    """A row whose customer's turn comes in minutes is left to a later run with the others, and the run ends."""
    rows = [*(("ann@example.com", channel, "") for channel in ("sms", "whatsapp", "telegram")), *people(5)]
    rows += [(f"stranger+{number}@example.com", "sms", "") for number in range(300)]
    tally = bench.run(
        bench.export(rows),
        bench.shop(customer_per_second=0.005, per_second=100.0, burst=10),
        brake=Brake(50, 10),
        patient=True,
    )
    assert tally.braked.keys() == {"acme"}
    assert tally.parked["acme"] + tally.done == len(rows)
    assert tally.outcomes["rejected"] < 100
    assert tally.seconds < 150


def test_a_second_run_calls_nobody_again(bench: Bench) -> None:
    """Finished rows are skipped, rejected ones too; rows that were added are sent, and the file holds all."""
    rows = [*people(8), ("stranger+ann@example.com", "whatsapp", "")]
    bench.run(bench.export(rows))
    before = bench.out.read_text()
    embedded = bench.embedded(bench.export(rows))
    importer = embedded(lambda: None, every=TICK)
    assert (importer.finished, importer.accepted, embedded.tally.earlier, embedded.tally.done) == (9, 0, 9, 0)
    assert len(bench.sandbox.calls()) == 9
    assert bench.out.read_text() == before

    bench.run(bench.export([*rows, *people(10)[8:]]))
    assert len(bench.sandbox.calls()) == 11
    assert Counter(result["job_id"] for result in bench.results()).most_common(1)[0][1] == 1
    assert len(bench.results()) == 11


def test_the_results_file_is_made_anew_from_the_journal(bench: Bench) -> None:
    """A results file that was lost or cut short is whole again after the next run, without a call."""
    export = bench.export(people(5))
    bench.run(export)
    whole = bench.out.read_text()
    bench.out.write_text(whole[: len(whole) // 2])
    bench.run(export)
    assert bench.out.read_text() == whole
    bench.out.unlink()
    bench.run(export)
    assert bench.out.read_text() == whole
    assert len(bench.sandbox.calls()) == 5


def test_an_upstream_out_of_reach_ends_the_run(bench: Bench) -> None:
    """Where nobody answers, no row is spent: the run ends after some tries, and the next one sends all of them."""
    export = bench.export(people(30))
    clock = HastyClock()
    tally = bench.run(export, bench.shop(base_url="http://127.0.0.1:9"), clock=clock)
    assert (tally.done, tally.halted, tally.parked) == (0, {"acme": "connection"}, {"acme": 30})
    assert bench.run(export, clock=clock).outcomes == {"sent": 30}


def test_files_with_addresses_are_for_their_owner_alone(bench: Bench) -> None:
    """Results, journal and rejects hold customers' addresses: nobody else on the machine may read them."""
    rejects = bench.folder / "rejects.csv"
    bench.run(bench.export([("", "whatsapp", ""), *people(2)]), rejects=rejects)
    for path in (bench.out, bench.journal, rejects):
        assert path.stat().st_mode & 0o777 == 0o600, path.name


def test_an_export_without_rows(bench: Bench) -> None:
    """A header alone makes a results file with a header alone, at once."""
    tally = bench.run(bench.export([]))
    assert tally.done == 0
    assert bench.results() == []
    assert bench.out.read_text().startswith("line,reference,")


@pytest.mark.parametrize("quota", ["per_day", "customer_per_day"])
def test_a_days_quota_holds_across_runs(tmp_path: Path, quota: str) -> None:
    """Rows beyond the quota are left with the time when it ends; that day no run sends more, the next day the rest."""
    clock = MovedClock()
    with RunningSandbox(SandboxConfig(limits=None), clock) as sandbox:
        bench = Bench(tmp_path, sandbox)
        export = bench.export([("ann@example.com", "email", f"bob{number}@example.com") for number in range(5)])
        shop = bench.shop("acme", **{quota: 3})
        reset = next_reset(clock.now(), 0)

        first = bench.run(export, shop, clock=clock)
        assert (first.done, first.parked) == (3, {"acme": 2})
        assert reset <= first.parked_until < reset + SECOND
        second = bench.run(export, shop, clock=clock)
        assert (second.done, second.earlier, second.parked) == (0, 3, {"acme": 2})
        assert len(sandbox.calls()) == 3

        clock.next_day()
        third = bench.run(export, shop, clock=clock)
        assert (third.done, third.earlier, third.parked) == (2, 3, {})
        assert len(sandbox.calls()) == len(bench.results()) == 5


@pytest.mark.parametrize(
    ("on_unknown", "outcome", "calls"),
    [("report", ("unknown", "interrupted", "1"), 0), ("resend", ("sent", "", "2"), 1)],
)
def test_a_call_that_a_kill_cut_short(bench: Bench, on_unknown: str, outcome: tuple[str, str, str], calls: int) -> None:
    """A call that a run started and never answered is reported, or made again as a counted attempt, as told."""
    job = Job.create(shop="acme", campaign="spring", customer=Customer(email="ann0@example.com"), channel="whatsapp")
    config = bench.shop(on_unknown=on_unknown)
    request = AdmitRequest("acme", job.customer.key, job.job_id, config.limits, lease=0)
    with Journal(bench.journal, "spring") as journal:
        journal.started(request, Grant(epoch=1, start_at=SystemClock().now(), start_by=0, attempts=1, takeovers=0))
    bench.run(bench.export(people(1)), config)
    (result,) = bench.results()
    assert (result["outcome"], result["code"], result["attempts"]) == outcome
    assert len(bench.sandbox.calls()) == calls


def test_a_row_whose_call_keeps_ending_the_process(bench: Bench) -> None:
    """After five runs that ended in one row's call, the run says which row it is and makes no call of it."""
    job = Job.create(shop="acme", campaign="spring", customer=Customer(email="ann0@example.com"), channel="whatsapp")
    request = AdmitRequest("acme", job.customer.key, job.job_id, bench.shop().limits, lease=0)
    with Journal(bench.journal, "spring") as journal:
        journal.started(request, Grant(epoch=1, start_at=SystemClock().now(), start_by=0, attempts=5, takeovers=4))
    with pytest.raises(ReferralError, match="line 2: the process ended 5 times during this row's call; take the row"):
        bench.run(bench.export(people(1)))
    assert bench.sandbox.calls() == []


def test_stopping_leaves_the_rest_for_the_next_run(bench: Bench) -> None:
    """What was under way is finished, nothing new starts, every started call has its line; then the rest goes."""
    export = bench.export(people(60))
    shop = bench.shop(per_second=30.0, burst=2)
    embedded = bench.embedded(export, shop)
    embedded(lambda: embedded.stop() if embedded.tally.done >= 5 else None, every=TICK)
    assert embedded.tally.stopped
    assert 5 <= embedded.tally.done < 60
    assert len(bench.sandbox.calls()) == embedded.tally.done == len(bench.results())
    done = {line["result"]["job_id"] for line in bench.lines("result")}
    undone = Counter(line["job_id"] for line in bench.lines("started") if line["job_id"] not in done)
    assert undone == Counter(line["job_id"] for line in bench.lines("released") if line["job_id"] not in done)

    bench.run(export)
    assert Counter(customer(call) for call in bench.sandbox.calls()) == {email: 1 for email, _, _ in people(60)}
    assert len(bench.results()) == 60


def test_stopping_while_the_export_is_read(bench: Bench) -> None:
    """A stop during the first look at a large export doesn't wait for its end, and its rejects are kept."""
    rows = [("", "whatsapp", ""), *people(40_000)]
    embedded = bench.embedded(bench.export(rows))
    embedded.stop()
    importer = embedded(lambda: None, every=TICK)
    assert embedded.tally.stopped
    assert importer.rows < len(rows)
    assert embedded.tally.done == len(bench.results()) == len(bench.sandbox.calls()) == 0


def test_rejects_that_cannot_be_written_end_the_run_in_one_line(bench: Bench) -> None:
    """The reader's failure is the run's: one line, and no row is missed in silence."""
    export = bench.export([("", "whatsapp", ""), *people(3)])
    with pytest.raises(InputError, match=r"no such folder for .*; can't write the rejected rows; choose another file"):
        bench.run(export, rejects=bench.folder / "missing" / "rejects.csv")


def test_a_foreign_results_file_is_not_overwritten(bench: Bench) -> None:
    """A file that no journal speaks for may be somebody's work; nothing is called and it stays as it is."""
    bench.out.write_text("precious")
    with pytest.raises(UsageError, match=r"exists, but there is no results\.csv\.journal of a run"):
        bench.run(bench.export(people(1)))
    assert bench.out.read_text() == "precious"
    assert not bench.journal.exists()
    assert bench.sandbox.calls() == []


def test_a_shop_that_leaves_the_file_ends_the_run(bench: Bench) -> None:
    """Rows of a shop without a credential can't be sent; the run says so instead of waiting for ever."""
    (bench.folder / "secret").write_text(SANDBOX_SECRET)
    shops = bench.folder / "shops.toml"
    table = (
        f'[defaults]\nbase_url = "{bench.sandbox.url}"\nkey_id = "{SANDBOX_KEY_ID}"\nsecret_file = "secret"\n'
        "per_second = 2\nburst = 1\n"
    )
    shops.write_text(f"{table}[shops.acme]\n[shops.other]\n")
    embedded = bench.embedded(bench.export(people(200)), registry=ShopRegistry.load(shops))
    left = count()

    def tick() -> None:
        if embedded.tally.done and next(left) == 0:
            shops.write_text(f"{table}[shops.other]\n")

    with pytest.raises(ConfigurationError, match="shop acme has left the shops file with rows still to send"):
        embedded(tick, every=TICK)
    assert len(bench.results()) == len(bench.sandbox.calls())


class _Notes:
    """A journal that keeps nothing."""

    def started(self, request: AdmitRequest, grant: Grant, ahead: int) -> None: ...
    def released(self, request: AdmitRequest, grant: Grant, *, called: bool) -> None: ...
    def repeated(self, request: AdmitRequest, grant: Grant, later: Later, ahead: int) -> None: ...
    def finished(self, body: str, answered_by: str | None) -> None: ...


def drive(bench: Bench, run: RunState, until: Callable[[], object]) -> None:
    """A real Dramatiq worker over a run, stopped as soon as ``until`` says so."""
    clock = SystemClock()
    app = build_embedded(Settings(), ShopRegistry.of(bench.shop()), MemoryStore(clock), clock, run, threads=4)
    worker = dramatiq.Worker(app.broker, worker_threads=4, worker_timeout=50)
    worker.start()
    try:
        wait_until(until, 20, "the run")
    finally:
        app.context.stopping.set()
        worker.stop()
        app.close()


def test_an_unexpected_error_ends_the_run_and_is_told(bench: Bench) -> None:
    """A defect in the consumer's thread must not end as a run that seems complete and lacks rows."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("ann@example.com")

    jobs = (
        Job.create(shop="acme", campaign="spring", customer=Customer(email=email), channel=channel)
        for email, channel, _ in people(20)
    )
    run = RunState(jobs, _Notes(), broken, patient=False)
    drive(bench, run, run.over.is_set)
    assert "the run broke: ZeroDivisionError at " in str(run.failure)
    assert "ann@" not in str(run.failure)


def test_a_source_that_breaks_ends_the_run_and_is_told(bench: Bench) -> None:
    """An unexpected error while the export is read is the run's failure, without what it may have held."""

    def jobs() -> Iterator[Job]:
        yield Job.create(shop="acme", campaign="spring", customer=Customer(email="a@example.com"), channel="sms")
        raise ZeroDivisionError("ann@example.com")

    run = RunState(jobs(), _Notes(), lambda *_: None, patient=False)
    drive(bench, run, run.over.is_set)
    assert "reading the export failed: ZeroDivisionError at " in str(run.failure)
    assert "ann@" not in str(run.failure)


def test_jobs_in_memory_are_bounded(bench: Bench) -> None:
    """However long the export, a run reads only so many jobs ahead of its calls."""
    taken = count(1)
    reached = [0]

    def endless() -> Iterator[Job]:
        while True:
            reached[0] = next(taken)
            email = f"ann{reached[0]}@example.com"
            yield Job.create(shop="acme", campaign="spring", customer=Customer(email=email), channel="sms")

    done: Counter[str] = Counter()
    run = RunState(endless(), _Notes(), lambda _body, outcome, _code: done.update([outcome]), patient=False)
    drive(bench, run, lambda: reached[0] >= MOST_INSIDE and done.total() > 20)
    assert reached[0] <= READ_AHEAD + MOST_INSIDE + done.total() + 10


def test_lost_answers_are_verified(bench: Bench) -> None:
    """What Refer2 made of calls whose answers were lost is read back, and only what it didn't make is called again."""
    behaviours = {
        "made@example.com": Behaviour("reset", times=1),
        "mail@example.com": Behaviour("truncated", times=1),
        "lost@example.com": Behaviour("reset", times=1, performed=False),
        "never@example.com": Behaviour("not_json", performed=False),
    }
    with RunningSandbox(SandboxConfig(limits=None, behaviours=behaviours)) as sandbox:
        verifying = Bench(bench.folder, sandbox)
        rows = [(who, "email" if who.startswith("mail") else "sms", "") for who in behaviours]
        rows[1] = ("mail@example.com", "email", "Bob@example.com")
        shop = verifying.shop(on_unknown="verify", max_attempts=2)
        verifying.run(verifying.export(rows), shop, clock=HastyClock())
        calls = Counter(map(customer, sandbox.calls()))
    results = {row["customer_email"]: row for row in verifying.results()}
    assert {who: (row["outcome"], row["code"], row["attempts"]) for who, row in results.items()} == {
        "made@example.com": ("sent", "", "1"),
        "mail@example.com": ("sent", "", "1"),
        "lost@example.com": ("sent", "", "2"),
        "never@example.com": ("failed", "unanswered", "2"),
    }
    assert calls == {"made@example.com": 1, "mail@example.com": 1, "lost@example.com": 2, "never@example.com": 2}
    assert json.loads(results["mail@example.com"]["referral"])["destination"] == "Bob@example.com"
    assert results["made@example.com"]["share_action"] == ""
    assert json.loads(results["lost@example.com"]["share_action"])


def test_a_takeover_is_verified(bench: Bench) -> None:
    """A row whose call a process died in is looked for by the next one, and called only where it isn't there."""
    export = bench.export(people(2))
    shop = bench.shop(on_unknown="verify")
    bench.run(export, shop)
    # As if the process had died after both calls, and only the first had been carried out.
    lines = bench.journal.read_bytes().splitlines(keepends=True)
    starts = [line for line in lines if b'"result"' not in line and b'"base_url"' not in line]
    bench.journal.write_bytes(b"".join(starts))
    bench.out.unlink()
    with RunningSandbox(SandboxConfig(limits=None)) as another:
        carried_out = Job.create(
            shop="acme", campaign="x", customer=Customer(email="ann0@example.com"), channel="whatsapp"
        )
        client = Refer2Client(token_of=TokenMaker(SystemClock()).token, clock=SystemClock())
        moved = ShopConfig.of("acme", shop.credential, ShopTable(base_url=another.url, on_unknown="verify"))
        assert isinstance(client.refer(moved, carried_out), Sent)
        client.close()
        Bench(bench.folder, another).run(export, moved)
        assert Counter(map(customer, another.calls())) == {"ann0@example.com": 1, "ann1@example.com": 1}
    assert sorted((row["outcome"], row["attempts"]) for row in bench.results()) == [("sent", "1"), ("sent", "2")]


def refused(number: int, status: int = 403) -> list[Row]:
    """Rows whose calls are answered by a page, as by a firewall that dislikes their text; the shop's token is good."""
    return [(f"html{status}+bad{each}@example.com", "whatsapp", "") for each in range(number)]


@pytest.mark.parametrize("status", [302, 401, 403, 404, 413])
def test_a_refused_row_does_not_stop_the_others(bench: Bench, status: int) -> None:
    """A page that one row's calls are answered by is that row's trouble: it fails, and the others are sent."""
    tally = bench.run(bench.export([*refused(1, status), *people(200)]), clock=HastyClock())
    assert tally.outcomes == {"sent": 200, "failed": 1}
    assert (tally.codes, tally.halted, tally.parked) == ({("failed", f"http_{status}"): 1}, {}, {})
    (failed,) = [result for result in bench.results() if result["outcome"] == "failed"]
    assert (failed["status"], failed["attempts"]) == (str(status), "1")
    calls = Counter(map(customer, bench.sandbox.calls()))
    assert max(calls.values()) <= 5


def test_a_row_whose_token_is_refused(bench: Bench) -> None:
    """One row that is answered invalid_token, though Status2 takes the token, fails in the end; the others are sent."""
    rows = [("badtoken+bad@example.com", "whatsapp", ""), *people(200)]
    tally = bench.run(bench.export(rows), clock=HastyClock())
    assert (tally.outcomes, tally.codes) == ({"sent": 200, "failed": 1}, {("failed", "invalid_token"): 1})
    assert (tally.halted, tally.parked) == ({}, {})
    assert max(Counter(map(customer, bench.sandbox.calls())).values()) <= 5


@pytest.mark.parametrize("place", ["first", "last", "between"])
def test_thirty_refused_rows(bench: Bench, place: str) -> None:
    """However many rows are refused one after the other, more than are called at once: all others are sent."""
    good = people(210)
    rows = {
        "first": [*refused(30), *good],
        "last": [*good, *refused(2)],
        "between": [row for each in range(30) for row in (*good[each * 7 : each * 7 + 7], refused(30)[each])],
    }[place]
    bad = sum("html" in email for email, _, _ in rows)
    tally = bench.run(bench.export(rows), clock=HastyClock())
    assert tally.outcomes == {"sent": len(rows) - bad, "failed": bad}
    assert tally.halted == {}


def test_rows_that_fail_alone(bench: Bench) -> None:
    """Calls that only a few rows fail are those rows' trouble, though nobody is left beside them at the end: they fail
    after their attempts, and no breaker leaves them for ever to later runs."""
    failing = [(f"fail500+bad{each}@example.com", "whatsapp", "") for each in range(6)]
    tally = bench.run(bench.export([*failing, *people(30)]), bench.shop(max_attempts=5), clock=HastyClock())
    assert (tally.outcomes, tally.codes) == ({"sent": 30, "failed": 6}, {("failed", "http_500"): 6})
    assert tally.halted == {}


def test_the_only_row_is_refused(bench: Bench) -> None:
    """A row that has no other beside it fails once Status2 has taken the token each time."""
    tally = bench.run(bench.export(refused(1)), clock=HastyClock())
    assert (tally.outcomes, tally.halted) == ({"failed": 1}, {})


def test_all_rows_are_refused(bench: Bench) -> None:
    """Where everybody is refused nobody fails, though Status2 takes the token: all are left to a later run."""
    tally = bench.run(bench.export(refused(40)), clock=HastyClock())
    assert (tally.done, tally.halted, tally.parked) == (0, {"acme": "http_403"}, {"acme": 40})
    assert bench.results() == []
