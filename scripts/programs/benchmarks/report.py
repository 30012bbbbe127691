"""What a benchmark is and what it hands back, apart from how it measures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from scripts.programs.benchmarks.site import Site


@dataclass(frozen=True)
class Report:
    """Figures of one run: a table, and lines that say what was measured."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    lines: Sequence[str] = ()
    picture: "Picture | None" = None

    def markdown(self) -> str:
        """The table, then the lines as a list."""
        table = [self.head, ["---", *["---:"] * (len(self.head) - 1)], *self.rows]
        text = "\n".join(f"| {' | '.join(row)} |" for row in table)
        shown = [self.picture.markdown()] if self.picture else []
        return "\n\n".join([*shown, text, *(["\n".join(f"- {line}" for line in self.lines)] if self.lines else [])])


@dataclass(frozen=True)
class Picture:
    """An SVG beside the document; ``says`` is what it shows, for those who don't see it."""

    name: str
    says: str
    svg: str

    def markdown(self) -> str:
        """The line that shows it."""
        return f"![{self.says}](benchmarks/{self.name}.svg)"


@dataclass(frozen=True)
class Benchmark:
    """A measurement with a name. ``reading`` is the paragraph that explains its figures."""

    name: str
    title: str
    reading: str
    run: Callable[[Site], Report]


def spread(values: Sequence[float], digits: int) -> str:
    """All values, for a line that shows how far apart the rounds were."""
    return ", ".join(f"{value:,.{digits}f}" for value in values)


def cell(values: Sequence[float], digits: int) -> str:
    """The median, and in brackets the least and the most where they differ."""
    middle, least, most = (f"{of(values):,.{digits}f}" for of in (median, min, max))
    return middle if least == most else f"{middle} ({least}–{most})"


def panel(title: str, digits: int, of_all: Sequence[Sequence[float]]) -> dict[str, object]:
    """What drawing.py is told of one plot: a bar for each of some series, and none for one without values."""
    return {
        "title": title,
        "digits": digits,
        "middle": [median(values) if values else None for values in of_all],
        "least": [min(values, default=None) for values in of_all],
        "most": [max(values, default=None) for values in of_all],
    }


def share(part: float, whole: float) -> str:
    """A ratio for a table's cell, empty where there is nothing to compare with."""
    return f"{part / whole:.2f}" if whole else ""
