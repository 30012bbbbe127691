"""What it costs to put many results into the export that they came from, and to write an upload of them."""

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path

from scripts.programs.benchmarks.inputs import CHANNEL, customer, write_results
from scripts.programs.benchmarks.process import BenchmarkError, run_watched
from scripts.programs.benchmarks.report import Benchmark, Report
from scripts.programs.benchmarks.site import Site


def run(site: Site) -> Report:
    """The whole export, then the file for one tool."""
    number = site.of(1_000_000, 20_000)
    export, results = site.folder / "export.csv", site.folder / "results.csv"
    _write_export(export, number)
    write_results(results, number, "csv", alike=True)
    rows = [
        (" ".join(("merge", *options)), *_measured(site, export, results, number, options))
        for options in ((), ("--for", "klaviyo"))
    ]
    return Report(
        ("command", "rows", "took, s", "rows a second", "CPU a row, µs", "peak resident memory, MiB", "written, MB"),
        rows,
    )


def _measured(site: Site, export: Path, results: Path, number: int, options: tuple[str, ...]) -> list[str]:
    out = site.folder / "merged.csv"
    command = site.referrals("merge", str(export), "--results", str(results), *options, "--out", str(out), "--json")
    before = os.times()
    printed, seconds, peak = run_watched(command, site.environment())
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    told = json.loads(printed)
    # What is too large for one upload comes in parts.
    paths = [Path(part["file"]) for part in told["files"]] if options else [out]
    _check(paths, number - number // 20 if options else number)
    written = sum(path.stat().st_size for path in paths) / 1e6
    for path in paths:
        path.unlink()
    figures = (number / seconds, cpu / number * 1e6, peak, written)
    return [f"{number:,}", f"{seconds:.1f}", *(f"{figure:,.0f}" for figure in figures)]


def _write_export(path: Path, number: int) -> None:
    """The export of those results, each row with a name that the merge doesn't need."""
    with path.open("w") as file:
        file.write("shop,customer_shopid,customer_email,channel,name\n")
        file.writelines(f"shop-{one % 10},{one},{customer(one)},{CHANNEL},Ann{one}\n" for one in range(number))


def _check(paths: Sequence[Path], number: int) -> None:
    """Each row has the link of its own customer; raises BenchmarkError."""
    found = 0
    for path in paths:
        with path.open(newline="") as file:
            rows = csv.reader(file)
            header = next(rows)
            link = header.index("referral_link")
            address = header.index("customer_email" if "customer_email" in header else "Email")
            for row in rows:
                found += 1
                if row[link] and customer(int(row[link].rpartition("/")[2])) != row[address]:
                    raise BenchmarkError(f"a row of {path} has the link of another customer: {row}")
    if found != number:
        raise BenchmarkError(f"of {number} rows {found} were written")


BENCHMARK = Benchmark(
    name="merge",
    title="Results back into their export",
    reading="""\
`referrals merge` from its start to its end: it reads and checks every result, keeps what the export gets of it in a
temporary file, reads the export as `publish` does, and writes it with the links behind its rows. `--for` writes the
upload of a tool in its place. One in twenty results is rejected and has no link. Memory holds job ids up to a bound
beyond which they go to disk: it must not grow with the export. Every row of every file is read back and must have the
link of its own customer.""",
    run=run,
)
