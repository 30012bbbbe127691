"""What it costs to read an export in an archive instead of the plain file."""

import gzip
import json
import shutil
import sys
import zipfile
from pathlib import Path
from statistics import median

from scripts.programs.benchmarks.inputs import write_wide
from scripts.programs.benchmarks.process import BenchmarkError, run_to_end
from scripts.programs.benchmarks.report import Benchmark, Report, share, spread
from scripts.programs.benchmarks.site import Site


def run(site: Site) -> Report:
    """The importer on the plain file, in gzip and in zip, by turns; each in a process of its own."""
    rows, rounds = site.of(200_000, 10_000), site.of(5, 1)
    plain = site.folder / "plain.csv"
    write_wide(plain, rows)
    files = {"plain": plain, "gzip": _gzipped(plain), "zip": _zipped(plain)}
    seconds: dict[str, list[float]] = {name: [] for name in files}
    peaks: dict[str, list[float]] = {name: [] for name in files}
    for turn in range(rounds):
        # Whoever comes first or last in a round would gain or lose by what else the machine does.
        order = list(files)[turn % len(files) :] + list(files)[: turn % len(files)]
        for name in order:
            command = [sys.executable, "-m", "scripts.programs.benchmarks.importing", str(files[name])]
            read = json.loads(run_to_end(command, site.environment())[0])
            if read["jobs"] != rows:
                raise BenchmarkError(f"of {rows} rows in {name} {read['jobs']} became jobs")
            seconds[name].append(read["seconds"])
            peaks[name].append(read["peak_kib"] / 1024)
    usual = median(seconds["plain"])
    return Report(
        ("", *files, "bound"),
        [
            ("rows a second", *(f"{rows / median(taken):,.0f}" for taken in seconds.values()), ""),
            ("time, times that of plain", *(share(median(taken), usual) for taken in seconds.values()), "≤ 1.30"),
            ("peak resident memory, MiB", *(f"{median(peak):.0f}" for peak in peaks.values()), ""),
            ("size, MB", *(f"{path.stat().st_size / 1e6:.1f}" for path in files.values()), ""),
        ],
        [
            f"{rounds} rounds of {rows:,} rows of 12 columns, by turns; medians.",
            *(f"{name}, s by round: {spread(taken, 2)}" for name, taken in seconds.items()),
        ],
    )


def _gzipped(plain: Path) -> Path:
    path = plain.with_suffix(".csv.gz")
    with plain.open("rb") as file, gzip.open(path, "wb") as packed:
        shutil.copyfileobj(file, packed)
    return path


def _zipped(plain: Path) -> Path:
    path = plain.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(plain, "customers_export.csv")
    return path


BENCHMARK = Benchmark(
    name="containers",
    title="Exports in gzip and zip",
    reading="""\
The importer alone, from opening the export to its last job. An archive is read to its end once before any row of it is
used, and unpacked again each time that it is read; nothing is unpacked to disk.""",
    run=run,
)
