"""What it takes to find one customer among many results, and to choose which jobs are sent again."""

import json
from pathlib import Path
from typing import Any

from scripts.programs.benchmarks.inputs import CHANNEL, customer
from scripts.programs.benchmarks.process import BenchmarkError, run_watched
from scripts.programs.benchmarks.report import Benchmark, Report
from scripts.programs.benchmarks.site import Site
from worker.model.job import Customer, job_id
from worker.results.rows import header, json_line, row

CAMPAIGNS = ("spring", "summer", "fall", "winter")


def result_of(number: int) -> dict[str, Any]:
    """A result; each customer has one in every campaign, and of each ten one failed."""
    who, campaign = Customer(email=customer(number // 4), shopid=str(7 * 10**12 + number // 4)), CAMPAIGNS[number % 4]
    failed = number // 4 % 10 == 0
    return {
        "schema": 1,
        "job_id": job_id("shop-000", campaign, 0, who, CHANNEL, None),
        "campaign": campaign,
        "shop": "shop-000",
        "run": 0,
        "line": number // 4 + 2,
        "reference": f"row-{number // 4}",
        "customer": {"bhid": None, "shopid": who.shopid, "email": who.email},
        "channel": CHANNEL,
        "outcome": "failed" if failed else "sent",
        "code": "http_503" if failed else None,
        "status": 503 if failed else 200,
        "referral": None
        if failed
        else {"referral_bhid": f"rf{number}", "link": f"https://go.example.com/r/{number:x}"},
        "attempts": 1,
        "finished_at": f"2026-11-02T12:00:{number % 4:02}Z",
        "latency_seconds": 0.25,
    }


def write_results(path: Path, number: int) -> None:
    """So many results, in the format that the file's name ends with."""
    csv = path.suffix == ".csv"
    with path.open("w") as file:
        if csv:
            file.write(header())
        file.writelines((row if csv else json_line)(result_of(one)) for one in range(number))


def run(site: Site) -> Report:
    """Both formats: a customer by the address, and the failed jobs of a campaign."""
    number = site.of(1_000_000, 20_000)
    rows = []
    for name in ("results.csv", "results.jsonl"):
        path = site.folder / name
        write_results(path, number)
        searched = ("find", customer(number // 8 + 1), "--from", str(path), "--json")
        printed, seconds, peak = run_watched(site.referrals(*searched), site.environment())
        if json.loads(printed)["total"] != len(CAMPAIGNS):
            raise BenchmarkError(f"found {json.loads(printed)['total']} results of a customer who has {len(CAMPAIGNS)}")
        rows.append(("find", name, f"{number:,}", f"{seconds:.1f}", f"{peak:.0f}"))
        chosen = ("replay", "--campaign", "fall", "--outcome", "failed", "--from", str(path), "--dry-run", "--json")
        printed, seconds, peak = run_watched(site.referrals(*chosen), site.environment())
        if json.loads(printed)["jobs"] != number // 40:
            raise BenchmarkError(f"chose {json.loads(printed)['jobs']} jobs of {number // 40}")
        rows.append(("replay --dry-run", name, f"{number:,}", f"{seconds:.1f}", f"{peak:.0f}"))
        path.unlink()
    return Report(("command", "file", "results", "took, s", "peak resident memory, MiB"), rows)


BENCHMARK = Benchmark(
    name="find",
    title="Finding a customer, and choosing what is sent again",
    reading="""\
`referrals find` by an address, from its start to its end, and `referrals replay --dry-run`. `find` reads the file as
bytes, twice: the second time for the customer's other ids. Only rows that may match are parsed. `replay` parses and
checks every row. What it keeps of each job is in a temporary file beyond 1 MiB.""",
    run=run,
)
