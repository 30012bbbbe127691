"""Draws bars as SVG, from a description in JSON on its input; matplotlib is in the contestants' environment alone.

The ground is transparent, and each colour stands out by 3:1 at least from white and from a dark page's #0d1117, so that
one picture serves both. Bars are pale within their edges, since the line from the least to the most runs over them.
"""

import json
import sys

import matplotlib as mpl
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

TEXT, OURS, THEIRS = "#767676", "#1f7fd6", "#8a8580"
PALE = 0.35

mpl.rcParams.update(
    {
        "svg.fonttype": "none",  # text stays text, for screen readers and for searches
        "svg.hashsalt": "peers",  # the same figures make the same file
        "font.family": "sans-serif",
        "font.size": 10,
        **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"), TEXT),
    }
)


def main() -> None:
    """Reads ``{"names": […], "panels": [{"title": …, "middle": […], "least": […], "most": […], "digits": 2}]}``."""
    asked = json.load(sys.stdin)
    names, panels = asked["names"], asked["panels"]
    figure = Figure(figsize=(10, 0.6 + 0.36 * len(names)), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True):
        none = [value is None for value in panel["middle"]]
        least, middle, most = ([value or 0 for value in panel[field]] for field in ("least", "middle", "most"))
        colours = [OURS, *[THEIRS] * (len(names) - 1)]
        faces = [to_rgba(colour, PALE) for colour in colours]
        axes.barh(names, middle, height=0.62, color=faces, edgecolor=colours, linewidth=1.2)
        axes.hlines(range(len(names)), least, most, colors=colours, linewidth=2.5)
        for row, value in enumerate(middle):
            label = "–" if none[row] else f"{value:,.{panel['digits']}f}"
            axes.annotate(label, (most[row], row), xytext=(7, 0), textcoords="offset points", va="center")
        axes.set_title(panel["title"], fontsize=10)
        axes.set_xlim(0, max(most) * (1 + 0.12 * len(panels)))
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.tick_params(length=0)
        axes.set_xticks([])
    figure.axes[0].invert_yaxis()
    figure.savefig(sys.stdout.buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
