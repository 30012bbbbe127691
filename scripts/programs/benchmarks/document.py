"""docs/benchmarks.md: one section per benchmark, replaced when that benchmark has run again."""

import re
from collections.abc import Sequence

from scripts.programs.benchmarks.report import Benchmark, Report

HEADER = """\
# Benchmarks

<!-- made by scripts/bench: run it again instead of editing -->

Every figure was printed by `scripts/bench`, which measures on a private RabbitMQ and Valkey on the same machine. So
compare the columns of one table, not figures of different machines. `scripts/bench NAME…` renews single sections;
`--quick` does a fraction of the work and only prints."""


def section(benchmark: Benchmark, report: Report, circumstances: str) -> str:
    """A benchmark's part of the document."""
    return "\n\n".join([f"## {_heading(benchmark)}", benchmark.reading, report.markdown(), circumstances])


def renewed(old: str, new: dict[str, str], order: Sequence[Benchmark]) -> str:
    """The document with the sections of ``new`` (name to text) in place of those that ``old`` has."""
    sections = {}
    for part in old.split("\n## ")[1:]:
        text = f"## {part.strip()}"
        for benchmark in order:
            if f"(`{benchmark.name}`)" in text.partition("\n")[0]:
                sections[benchmark.name] = text
    sections |= new
    present = [benchmark for benchmark in order if benchmark.name in sections]
    contents = "\n".join(f"- [{_heading(benchmark)}](#{_anchor(_heading(benchmark))})" for benchmark in present)
    return "\n\n".join([HEADER, contents, *(sections[benchmark.name] for benchmark in present)]) + "\n"


def _heading(benchmark: Benchmark) -> str:
    return f"{benchmark.title} (`{benchmark.name}`)"


def _anchor(heading: str) -> str:
    # As GitHub makes it.
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
