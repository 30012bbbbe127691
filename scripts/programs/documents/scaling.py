"""``scripts/simulate``: the curves of docs/scaling.md, by the simulator."""

import argparse
import gc
import os
import re
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from worker.instants import SECOND
from worker.shops.config import ShopTable
from worker.simulator.fleet import Fleet
from worker.simulator.report import Report
from worker.simulator.scenario import Load, Scenario

DOCUMENT = Path(__file__).parents[3] / "docs" / "scaling.md"

SHOPS = (10, 100, 1000, 5000)
PROCESSES = (1, 4, 16, 50, 200)

CALL = 100_000
THREADS = 16
CAPACITY = THREADS * 1_000_000 / CALL
"""Calls a second that one process can make."""

JOBS = 30_000
FEWEST_JOBS = 16
"""Jobs of a simulation, and of each shop at least."""

FEWEST_BURST = 4
BURST_SECONDS = 0.2
"""A shop's burst is a fifth of a second's calls, as by default (100 a second, burst 20). All shops begin at one
instant, so their calls come in waves: a shop that waits for a thread keeps what its bucket holds, and loses the rest.
"""

APART = 2 * SECOND
"""Within which shops begin that don't begin at one instant."""

Cell = tuple[str, str, str, str, str]


def main() -> int:
    """Write the tables, or time the million."""
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=__doc__)
    parser.add_argument("--million", action="store_true", help="only time a million jobs, and print the line")
    million = parser.parse_args().million
    # Nothing here is garbage before the end, and looking for it takes a third of the time.
    gc.disable()
    if million:
        print(_million())
        return 0
    cells = {(shops, processes): _cell(shops, processes) for shops in SHOPS for processes in PROCESSES}
    text = DOCUMENT.read_text()
    for number, name in enumerate(("admits", "steady", "used", "apart", "quiet")):
        text = _replaced(text, name, _table(cells, number))
    DOCUMENT.write_text(_replaced(text, "million", _million()))
    return 0


def _run(loads: list[Load], processes: int, *, store_round_trip: int = 500) -> Report:
    scenario = Scenario(loads, processes=processes, threads=THREADS, call=CALL, store_round_trip=store_round_trip)
    report = Fleet(scenario).run()
    assert report.over() == 0
    return report


def _cell(shops: int, processes: int) -> Cell:
    jobs = max(FEWEST_JOBS, JOBS // shops)
    table = _table_of(0.5 * CAPACITY * processes / shops)
    busy = _run([Load(jobs, table)] * shops, processes)
    loads = [Load(jobs, table, after=number * APART // shops) for number in range(shops)]
    apart = _run(loads, processes)
    worst = min(
        shop.ideal() / shop.took(apart.began + load.after)
        for shop, load in zip(apart.shops.values(), loads, strict=True)
    )
    # One shop that may have everything, beside the others with a few jobs each: for a second at least, and more than
    # their bursts, which take no time at all.
    campaign = Load(JOBS, ShopTable(per_second=100_000.0, burst=1000))
    table = _table_of(0.3 * CAPACITY * processes / shops)
    quiet = Load(table.burst + max(FEWEST_JOBS, int(table.per_second)), table)
    beside = _run([campaign, *[quiet] * (shops - 1)], processes)
    slowest = max(shop.took(beside.began) / shop.ideal() for slug, shop in beside.shops.items() if slug != "s0")
    sys.stderr.write(f"{shops} shops, {processes} processes: {busy.seconds + apart.seconds + beside.seconds:.1f} s\n")
    late = max(shop.took(busy.began) - shop.ideal() for shop in busy.shops.values()) / SECOND
    used = f"{busy.used:.1%} ({late:.1f} s)"
    return f"{busy.admits_per_call:.2f}", f"{busy.steady:.1%}", used, f"{worst:.1%}", f"{slowest:.2f}"


def _table_of(per_second: float) -> ShopTable:
    return ShopTable(per_second=per_second, burst=max(FEWEST_BURST, int(per_second * BURST_SECONDS)))


def _million() -> str:
    # Independent cells, as many as cores: each a broker and a store of its own with its shops and processes.
    cells = os.cpu_count() or 1
    shops, processes = 2000 // cells, 200 // cells
    tables = {
        "with the default limits": ShopTable(),
        "that together may have 80 % of the capacity": ShopTable(per_second=0.8 * CAPACITY * processes / shops),
    }
    lines = []
    for which, table in tables.items():
        began = time.perf_counter()
        with ProcessPoolExecutor(cells, initializer=gc.disable) as pool:
            calls = sum(pool.map(_cell_of_the_million, [table] * cells, [shops] * cells, [processes] * cells))
        seconds = time.perf_counter() - began
        lines.append(
            f"- {calls:,} jobs of {shops * cells:,} shops {which}, on {processes * cells} processes, in {cells} "
            f"independent cells: {seconds:.0f} s"
        )
    return "\n".join(lines)


def _cell_of_the_million(table: ShopTable, shops: int, processes: int) -> int:
    return _run([Load(500, table)] * shops, processes, store_round_trip=0).calls


def _table(cells: Mapping[tuple[int, int], Cell], number: int) -> str:
    lines = ["| shops | " + " | ".join(f"{processes}" for processes in PROCESSES) + " |"]
    lines.append("| ---: |" + " ---: |" * len(PROCESSES))
    for shops in SHOPS:
        figures = " | ".join(cells[shops, processes][number] for processes in PROCESSES)
        lines += [f"| {shops:,} | {figures} |"]
    return "\n".join(lines)


def _replaced(text: str, name: str, made: str) -> str:
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    assert begin in text, name
    return re.sub(f"{begin}.*?{end}", lambda _: f"{begin}\n{made}\n{end}", text, flags=re.DOTALL)


if __name__ == "__main__":
    sys.exit(main())
