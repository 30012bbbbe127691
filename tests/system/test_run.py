"""`referrals run` from outside: as a person, a shell script or a full disk meets it."""

import contextlib
import csv
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.services.wait import wait_until
from tests.system.commands import warm

ROOT = Path(__file__).parents[2]
REFERRALS = (sys.executable, "-m", "worker")
SECRET = "sandbox-secret-that-protects-nothing-0123456789"
"""What the sandbox takes from any shop, with the key id `sandbox`."""

IN_FLIGHT = 6
"""Calls at once. The sandbox holds back what comes faster than its pace, so that as many are always under way."""

SANDBOX_PACE = 40


@dataclass(frozen=True)
class Sandbox:
    """A running `referrals sandbox`."""

    url: str

    def calls(self, shop: str) -> list[dict[str, Any]]:
        """The calls for one shop, in the order of their arrival."""
        with urllib.request.urlopen(f"{self.url}/_sandbox/calls", timeout=10) as answer:
            calls = [json.loads(line) for line in answer.read().splitlines()]
        return [call for call in calls if call["shop"] == shop]

    def customers(self, shop: str) -> Counter[str]:
        """How often each customer of a shop was called for."""
        return Counter(call["body"]["customer"]["email"] for call in self.calls(shop) if call["body"])


@dataclass
class Desk:
    """A folder to run campaigns from, with shops that no other test uses."""

    folder: Path
    sandbox: Sandbox
    shops: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def shop(self) -> str:
        """A shop of this test alone."""
        return self.folder.name

    @property
    def out(self) -> Path:
        return self.folder / "results.csv"

    @property
    def journal(self) -> Path:
        return self.folder / "results.csv.journal"

    def serve(self, shop: str, *, secret: str = SECRET, **table: Any) -> None:
        """Put a shop into the shops file, or change it."""
        (self.folder / f"{shop}.key").write_text(secret)
        self.shops[shop] = {"key_id": "sandbox", "secret_file": f"{shop}.key"} | table
        usual = {
            "base_url": self.sandbox.url,
            "per_second": 1000,
            "burst": 100,
            "customer_per_second": 100,
            "max_in_flight": IN_FLIGHT,
        }
        tables = {"defaults": usual} | {f"shops.{slug}": own for slug, own in self.shops.items()}
        text = "".join(
            f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in own.items())
            for name, own in tables.items()
        )
        (self.folder / "shops.toml").write_text(text)

    def export(self, addresses: Sequence[str], *, shops: Sequence[str] = ()) -> None:
        """Write the export; with ``shops``, its rows name them by turns."""
        with (self.folder / "export.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["customer_email", "channel", *(["shop"] if shops else [])])
            for number, address in enumerate(addresses):
                writer.writerow([address, "whatsapp", *([shops[number % len(shops)]] if shops else [])])

    def command(self, *options: str) -> list[str]:
        """The command line of a run, with further options or with others in place of the usual."""
        usual = {"--campaign": "spring", "--out": "results.csv", "--shop": self.shop}
        kept = [text for name, value in usual.items() if name not in options for text in (name, value)]
        return [*REFERRALS, "run", "export.csv", "--json", *kept, *options]

    @property
    def environment(self) -> Mapping[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("REFERRALS_")}
        return inherited | {"REFERRALS_SHOPS": "shops.toml", "TERM": "dumb"}

    def run(self, *options: str, prefix: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """Run a campaign to its end, without a terminal."""
        if not prefix:
            return warm().run(self.command(*options)[len(REFERRALS) :], self.folder, self.environment, 90)
        return subprocess.run(
            [*prefix, *self.command(*options)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    @contextlib.contextmanager
    def running(self, *options: str) -> Iterator[subprocess.Popen[str]]:
        """A run in a process group of its own that has results already; it is killed at the end if it still runs."""
        with subprocess.Popen(
            self.command(*options),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                wait_until(lambda: len(self.lines("result")) >= 10, 60, "the first results")
                yield process
            finally:
                process.kill()

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The journal's whole lines of one kind."""
        raw = self.journal.read_bytes().splitlines(keepends=True) if self.journal.exists() else []
        every = [json.loads(line) for line in raw if line.endswith(b"\n")]
        return [line for line in every if line["event"] == event]

    def results(self) -> list[dict[str, str]]:
        with self.out.open(newline="") as file:
            return list(csv.DictReader(file, strict=True))

    def assert_complete(self, addresses: Sequence[str]) -> None:
        """Every row has exactly one result, and it was sent."""
        results = self.results()
        assert Counter(result["customer_email"] for result in results) == Counter(addresses)
        assert {result["outcome"] for result in results} <= {"sent"}


def people(number: int) -> list[str]:
    return [f"ann{each}@example.com" for each in range(number)]


@contextlib.contextmanager
def sandbox_with(*limits: str) -> Iterator[Sandbox]:
    command = [*REFERRALS, "sandbox", "--port", "0", *limits]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Sandbox(process.stdout.readline().split()[-1])
        process.terminate()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One sandbox for all tests here; its limits are each shop's own."""
    with sandbox_with("--per-second", str(SANDBOX_PACE), "--customer-per-second", "100") as made:
        yield made


@pytest.fixture(scope="module")
def unlimited() -> Iterator[Sandbox]:
    """A sandbox that holds nothing back, for runs of many rows."""
    with sandbox_with("--no-limits") as made:
        yield made


@pytest.fixture
def desk(tmp_path: Path, sandbox: Sandbox) -> Desk:
    """A desk with one shop in its shops file."""
    desk = Desk(tmp_path, sandbox)
    desk.serve(desk.shop)
    return desk


def test_an_export_becomes_results(desk: Desk) -> None:
    """The summary counts every row as JSON, the rejects file names the bad one, the results file has the links."""
    desk.export([*people(3), "stranger+ann@example.com", ""])
    done = desk.run()
    assert (done.returncode, done.stderr) == (0, "")
    summary = json.loads(done.stdout)
    assert summary.pop("seconds") > 0
    assert summary == {
        "rows": 5,
        "rejected": {"no_customer": 1},
        "consent_ignored": [],
        "finished_before": 0,
        "outcomes": {"sent": 3, "rejected": 1},
        "codes": {"no_customers_match_customer_identity": 1},
        "left_for_later": {},
        "braked": {},
        "left_until": None,
        "left_for_window": 0,
        "window_opens_at": None,
        "halted": {},
        "stopped": False,
        "results": "results.csv",
        "results_rows": 4,
        "sandbox": False,
        "reject_files": ["export.csv.rejects.csv"],
    }
    assert (desk.folder / "export.csv.rejects.csv").read_text().splitlines()[1] == "6,no_customer,6,,whatsapp"
    links = {result["customer_email"]: result["link"] for result in desk.results()}
    assert all(links[email].startswith(f"https://sandbox.invalid/{desk.shop}/r/") for email in people(3))


def test_the_built_in_sandbox_needs_no_shops_file(tmp_path: Path) -> None:
    """`--sandbox` alone sends an export, and the summary is for a person's eyes."""
    (tmp_path / "export.csv").write_text("customer_email\nann@example.com\nstranger+bob@example.com\n")
    done = rehearse(tmp_path, "--sandbox")
    assert (done.returncode, done.stderr) == (0, "")
    first = "SANDBOX a rehearsal: nobody was called, and the links lead nowhere"
    assert done.stdout.splitlines()[0].split() == first.split()
    shown = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith(("sent", "rejected")))
    assert (shown["sent"].strip(), shown["rejected"].strip()) == ("1", "1")
    assert "results.csv (2 rows)" in done.stdout


def test_a_rehearsal_does_not_eat_the_real_run(tmp_path: Path) -> None:
    """The same command without `--sandbox` is refused, with the remedy; each row says that nobody was called, even
    where a proxy's page came in place of an answer."""
    names = ("ann", "stranger+bob", "html403+cyd", "noreferral+dan")
    (tmp_path / "export.csv").write_text(
        "".join(f"{line}\n" for line in ("customer_email", *(f"{name}@example.com" for name in names)))
    )
    (tmp_path / "acme.key").write_text(SECRET)
    (tmp_path / "shops.toml").write_text('[shops.acme]\nkey_id = "k1"\nsecret_file = "acme.key"\n')
    assert rehearse(tmp_path, "--sandbox", "--shop", "acme").returncode == 0
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["outcome"] for row in rows} >= {"sent", "rejected", "failed"}
    assert all(row["message"].startswith("SANDBOX: ") for row in rows)

    real = rehearse(tmp_path, "--shop", "acme")

    assert (real.returncode, real.stdout) == (2, "")
    assert real.stderr == (
        "referrals: results.csv.journal: holds a rehearsal with --sandbox, in which nobody was called; choose another "
        "--out for the real run\n"
    )


def test_the_readme_s_rehearsal(tmp_path: Path) -> None:
    """The first run of a checkout does as it stands what README says, in the folder where the quickstart was run and in
    the shell of the blocks before it.
    """
    quickstart = ["export.csv", "--campaign", "quickstart", "--channel", "sms", "--out", "results.csv", "--sandbox"]
    (tmp_path / "export.csv").write_text("customer_email\nann@example.com\n")
    assert subprocess.run([*REFERRALS, "run", *quickstart], cwd=tmp_path, timeout=60, check=False).returncode == 0
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "scripts" / "samples").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "samples" / "shopify.csv", tmp_path / "scripts" / "samples")
    section = (ROOT / "README.md").read_text().partition("\n## Send a campaign\n")[2]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    (activating,) = (number for number, block in enumerate(blocks) if "activate" in block)
    running = next(number for number, block in enumerate(blocks) if "referrals run" in block)
    assert activating < running
    script = blocks[activating] + blocks[running]

    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0
    assert done.stderr == (
        "note: scripts/samples/shopify.csv: read as shopify, by Accepts Email Marketing, Customer ID; --preset none "
        "switches this off; consent is told by Accepts Email Marketing\n"
    )
    assert re.search(r"^sent +24$", done.stdout, re.MULTILINE)
    assert "rehearsal.csv (24 rows)" in done.stdout


def test_consent_that_an_export_lacks(tmp_path: Path) -> None:
    """Such an export is refused in one line; with `--ignore-consent` the summary says so each time."""
    (tmp_path / "export.csv").write_text("Email,Klaviyo ID,Email Marketing Consent\nann@example.com,1,SUBSCRIBED\n")

    refused = rehearse(tmp_path, "--sandbox")
    ignored = rehearse(tmp_path, "--sandbox", "--ignore-consent")
    counted = rehearse(tmp_path, "--sandbox", "--ignore-consent", "--json")

    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        "referrals: export.csv: is recognised as klaviyo by Klaviyo ID, but has no column Email Suppressions, which "
        "tells who agreed to be written to; export it again with that column, or give --ignore-consent to treat every "
        "row of it as consented; if it is no export of klaviyo, give --preset none\n"
    )
    assert "consent ignored  --ignore-consent, for export.csv" in " ".join(ignored.stdout.split("\n"))
    assert json.loads(counted.stdout)["consent_ignored"] == ["export.csv"]


def rehearse(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A run in a folder, without a desk's shops."""
    usual = ["export.csv", "--campaign", "spring", "--channel", "sms", "--out", "results.csv"]
    return warm().run(["run", *usual, *options], folder, os.environ, 60)


def test_limit_takes_the_next_rows_each_time(desk: Desk) -> None:
    """`--limit` bounds the jobs of a run; finished rows don't count."""
    desk.export(people(5))
    sent = [json.loads(desk.run("--limit", "3").stdout)["outcomes"] for _ in range(2)]
    assert sent == [{"sent": 3}, {"sent": 2}]
    desk.assert_complete(people(5))
    assert len(desk.sandbox.calls(desk.shop)) == 5


def test_a_kill_costs_no_row_and_few_calls(desk: Desk) -> None:
    """After SIGKILL in the middle the same command finishes; only calls that were under way are made again."""
    desk.export(people(150))
    with desk.running() as process:
        process.kill()
        process.wait()
    finished = {line["result"]["job_id"] for line in desk.lines("result")}
    under_way = {line["job_id"] for line in desk.lines("started")} - finished
    assert 10 <= len(finished) < 150
    assert len(under_way) <= IN_FLIGHT

    assert desk.run().returncode == 0
    desk.assert_complete(people(150))
    calls = desk.sandbox.customers(desk.shop)
    assert set(calls) == set(people(150))
    repeated = {email for email, times in calls.items() if times > 1}
    assert max(calls.values()) <= 2
    job_ids = {result["customer_email"]: result["job_id"] for result in desk.results()}
    assert {job_ids[email] for email in repeated} <= under_way


@pytest.mark.parametrize("way", ["Ctrl-C", "SIGTERM"])
def test_a_signal_drains(desk: Desk, way: str) -> None:
    """Calls under way finish, the journal owes nothing, and a second run sends the rest: each row is called once."""
    desk.export(people(150))
    with desk.running() as process:
        if way == "Ctrl-C":
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 3
    assert stderr == "referrals: stopped; run the same command again to continue\n"
    summary = json.loads(stdout)
    assert summary["stopped"]
    assert summary["outcomes"]["sent"] == len(desk.results()) == len(desk.sandbox.calls(desk.shop)) < 150
    balance = Counter(line["job_id"] for line in desk.lines("started"))
    balance -= Counter(line["job_id"] for line in desk.lines("released"))
    assert balance == Counter(line["result"]["job_id"] for line in desk.lines("result"))

    assert desk.run().returncode == 0
    desk.assert_complete(people(150))
    assert desk.sandbox.customers(desk.shop) == Counter(people(150))


def test_a_later_second_signal_ends_at_once(desk: Desk) -> None:
    """A second signal after two seconds doesn't wait for a silent upstream; the row is not lost."""
    desk.export([*people(10), "timeoutx1+ann@example.com"])
    with desk.running() as process:
        os.killpg(process.pid, signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=2.5)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=5) == -signal.SIGINT

    assert desk.run().returncode == 0
    desk.assert_complete([*people(10), "timeoutx1+ann@example.com"])


def test_a_bad_credential_burns_nothing(desk: Desk) -> None:
    """The shop with the wrong secret is named and left, the other is finished; once fixed, the command continues."""
    good, bad = f"{desk.shop}-good", f"{desk.shop}-bad"
    desk.serve(good)
    desk.serve(bad, secret="x" * 40)
    desk.export(people(60), shops=[good, bad])
    done = desk.run()
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"referrals: shop {bad}: every call is answered invalid_token; fix its credential in the shops file, then run "
        "the same command again for the 30 rows left"
    )
    summary = json.loads(done.stdout)
    assert (summary["outcomes"], summary["left_for_later"], summary["halted"]) == (
        {"sent": 30},
        {bad: 30},
        {bad: "invalid_token"},
    )
    assert len(desk.sandbox.calls(bad)) <= IN_FLIGHT + 1

    desk.serve(bad)
    assert desk.run().returncode == 0
    desk.assert_complete(people(60))
    assert {result["attempts"] for result in desk.results()} == {"1"}


def test_a_refused_row_ends_the_run(desk: Desk) -> None:
    """A row whose calls a firewall answers by a page fails, under the id that the log gives; the run is done with 0."""
    refused = "html403+ann@example.com"
    desk.export([refused, *people(20)])
    done = desk.run()
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["outcomes"], summary["codes"]) == ({"sent": 20, "failed": 1}, {"http_403": 1})
    (failed,) = [result for result in desk.results() if result["outcome"] == "failed"]
    assert failed["customer_email"] == refused
    told = [line for line in done.stderr.splitlines() if "job_refused" in line]
    assert all(failed["job_id"] in line for line in told)
    assert "then=failed" in told[-1]


def test_a_used_up_day_is_told_with_its_end(desk: Desk) -> None:
    """The rest is left until the quota's reset; no run before that sends more, a raised quota lets it go on."""
    reset = datetime.now(UTC) + timedelta(hours=12)
    desk.serve(desk.shop, per_day=5, day_resets_at=f"{reset:%H:%M}")
    desk.export(people(8))
    for outcomes in ({"sent": 5}, {}):
        done = desk.run()
        assert done.returncode == 3
        assert done.stderr.startswith(f"referrals: 3 rows must wait until {reset:%Y-%m-%d %H:%M} UTC ")
        summary = json.loads(done.stdout)
        assert (summary["outcomes"], summary["left_for_later"]) == (outcomes, {desk.shop: 3})
        assert summary["left_until"] == f"{reset:%Y-%m-%dT%H:%M}:00Z"
        assert len(desk.sandbox.calls(desk.shop)) == 5

    desk.serve(desk.shop, per_day=50, day_resets_at=f"{reset:%H:%M}")
    assert desk.run().returncode == 0
    desk.assert_complete(people(8))
    assert len(desk.sandbox.calls(desk.shop)) == 8


def test_a_full_disk_stops_the_calls(desk: Desk) -> None:
    """One line names the file; no call is made without its line, and with room again the same command finishes."""
    desk.export(people(60))
    done = desk.run(prefix=["bash", "-c", 'ulimit -f 24; exec "$@"', "bash"])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "referrals: results.csv.journal: File too large; free some space, then run the same command again to continue\n"
    )
    called = desk.sandbox.customers(desk.shop)
    noted = {line["customer"].removeprefix("e:") for line in desk.lines("started")}
    assert set(called) <= noted
    assert 0 < len(called) < 60

    assert desk.run().returncode == 0
    desk.assert_complete(people(60))
    assert desk.sandbox.customers(desk.shop).total() <= 60 + IN_FLIGHT


def test_two_runs_at_once_are_refused(desk: Desk) -> None:
    """The second run on the same file says so and calls nobody; the first one is not disturbed."""
    desk.serve(desk.shop, per_second=3, burst=10)
    desk.export(people(100))
    with desk.running() as process:
        second = desk.run()
        assert (second.returncode, second.stdout) == (2, "")
        assert second.stderr == (
            "referrals: results.csv.journal: another run has it open; wait for it, or choose another --out\n"
        )
        process.send_signal(signal.SIGTERM)
        stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert json.loads(stdout)["outcomes"]["sent"] == len(desk.results()) == len(desk.sandbox.calls(desk.shop))


def test_what_cannot_be_meant_is_one_line(desk: Desk) -> None:
    """Each refusal names the file and the remedy, and neither calls anybody nor changes a file."""
    desk.export(people(2))
    assert desk.run().returncode == 0
    before = {path: path.read_bytes() for path in desk.folder.iterdir()}
    refusals = {
        (
            "--campaign",
            "autumn",
        ): "results.csv.journal: belongs to campaign 'spring', not 'autumn'; choose another --out",
        ("--out", "export.csv"): "export.csv: --out would overwrite it; choose another --out",
        ("--shop", "nobody"): f"shops.toml: has no shop 'nobody'; it has {desk.shop}",
    }
    for options, line in refusals.items():
        done = desk.run(*options)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", f"referrals: {line}\n")
    assert {path: path.read_bytes() for path in desk.folder.iterdir()} == before

    desk.journal.write_bytes(before[desk.journal].replace(b'"event":"started"', b'"event":"sta\x00ted"', 1))
    done = desk.run()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "referrals: results.csv.journal, line 2: is damaged; restore the file, or delete this line (its row may then "
        "be called once more)\n"
    )
    assert len(desk.sandbox.calls(desk.shop)) == 2


def test_no_terminal_no_question(desk: Desk) -> None:
    """A script that sends more than 1,000 rows is not asked."""
    desk.export(["ann@example.com"] * 1001)
    done = desk.run()
    assert done.returncode == 0
    assert json.loads(done.stdout)["rejected"] == {"duplicate_row": 1000}


@pytest.mark.parametrize(
    ("options", "answer", "code", "calls"), [((), "n\n", 2, 0), ((), "y\n", 0, 1001), (("--yes",), None, 0, 1001)]
)
def test_a_person_is_asked_before_many_jobs(
    tmp_path: Path, unlimited: Sandbox, options: Sequence[str], answer: str | None, code: int, calls: int
) -> None:
    """In a terminal more than 1,000 jobs are asked about, below their plan; no is no, `--yes` answers beforehand."""
    desk = Desk(tmp_path, unlimited)
    desk.serve(desk.shop)
    desk.export(people(1001))
    shown = bytearray()
    master, slave = pty.openpty()
    with subprocess.Popen(
        desk.command(*options), cwd=desk.folder, env=desk.environment, stdin=slave, stdout=slave, stderr=slave
    ) as process:
        os.close(slave)
        while part := _read(master):
            shown += part
            if b"[y/N] " in shown and answer is not None:
                os.write(master, answer.encode())
                answer = None
    os.close(master)
    assert process.returncode == code
    assert (b"Send up to 1,001 jobs? [y/N] " in shown) == (not options)
    assert (b"1,001 jobs, done in " in shown) == (not options)
    assert len(desk.sandbox.calls(desk.shop)) == calls
    assert desk.out.exists() == desk.journal.exists() == (calls > 0)


def _read(master: int) -> bytes:
    # Linux reports the end of a terminal as an error, others as nothing left to read.
    try:
        return os.read(master, 4096)
    except OSError:
        return b""
