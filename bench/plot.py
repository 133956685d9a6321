"""Draws the result files: `python -m bench.plot [--results FOLDER] [--out FOLDER]` writes an SVG for each to docs/img.

What is drawn depends on the result files alone, to the last byte. Needs matplotlib.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from bench import cold, hot, rspamd
from bench.report import RESULTS

IMAGES: Final = Path(__file__).parents[1] / "docs" / "img"
STYLE: Final = {
    "svg.hashsalt": "mxcheck",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "figure.constrained_layout.use": True,
    "legend.frameon": False,
}
_PANEL: Final = (3.6, 2.8)
Results = Mapping[str, Any]


def draw_hot(results: Results, axes: Sequence[Axes]) -> None:
    medians = results["medians"]
    for axis, figure in zip(axes, ("rate_of_bare", "bare_of_cpu"), strict=True):
        _bars(axis, {kind: {name: cost[figure] for name, cost in each.items()} for kind, each in medians.items()})
    axes[0].set_ylabel(f"requests a second, {hot.BARE} = 1")
    axes[1].set_ylabel(f"requests a second of CPU, {hot.BARE} = 1")


def draw_cold(results: Results, axes: Sequence[Axes]) -> None:
    medians = results["medians"]
    kinds = {f"{at} at once": each for at, each in medians.items()}
    _bars(axes[0], {at: {name: cost["cpu_of_floor"] for name, cost in each.items()} for at, each in kinds.items()})
    axes[0].set_ylabel(f"CPU a check ({cold.FLOOR} = 1)")
    _bars(axes[1], {at: {name: cost["rate"] for name, cost in each.items()} for at, each in kinds.items()})
    axes[1].set_ylabel("checks a second")


def draw_rspamd(results: Results, axes: Sequence[Axes]) -> None:
    added = results["added"]
    for axis, figure in zip(axes, ("added_p50", "added_p99"), strict=True):
        _bars(axis, {kind: {name: each[name][figure] for name in rspamd.ADDED} for kind, each in added.items()})
        axis.set_ylabel(figure.replace("_", " ") + ", µs a message")


def draw_scale(results: Results, axes: Sequence[Axes]) -> None:
    _line(axes[0], results.get("near", {}), "cpu_microseconds", "domains in the near cache", "CPU µs a hit")
    _line(axes[1], results.get("near", {}), "bytes_per_entry", "domains in the near cache", "bytes an entry")
    _line(axes[2], results.get("concurrency", {}), "rate", "requests at once", "requests a second")
    _line(axes[3], results.get("concurrency", {}), "p99_milliseconds", "requests at once", "p99, ms")
    _line(axes[4], results.get("domains", {}), "cpu_microseconds", "domains a message", "CPU µs a request")
    axes[4].set_xscale("linear")
    for kind, found in results.get("maps", {}).items():
        _line(axes[5], found, "nanoseconds", "entries in the map", "ns a look-up", label=kind)
    axes[5].set_yscale("log")
    axes[5].autoscale(axis="y")
    axes[5].legend()


def draw_zipf(results: Results, axes: Sequence[Axes]) -> None:
    samples = results["samples"]
    requests = [sample["requests"] / 1e6 for sample in samples]
    axes[0].plot(requests, [sample["resident_mib"] for sample in samples])
    axes[0].set(xlabel="million requests", ylabel="resident memory, MiB", ylim=(0, None))


DRAWINGS: Final[Mapping[str, tuple[int, Callable[[Results, Sequence[Axes]], None]]]] = {
    "hot": (2, draw_hot),
    "cold": (2, draw_cold),
    "rspamd": (2, draw_rspamd),
    "scale": (6, draw_scale),
    "zipf": (1, draw_zipf),
}


def _bars(axis: Axes, groups: Mapping[str, Mapping[str, float]]) -> None:
    """A group of bars for each key, a bar for each name in it."""
    names = list(next(iter(groups.values())))
    width = 0.8 / len(names)
    for index, name in enumerate(names):
        places = [group + (index - (len(names) - 1) / 2) * width for group in range(len(groups))]
        bars = axis.bar(places, [each[name] for each in groups.values()], width, label=name)
        axis.bar_label(bars, fmt=lambda value: f"{value:.2f}" if value < 10 else f"{value:,.0f}", fontsize=7)
    axis.set_xticks(range(len(groups)), list(groups))
    axis.grid(visible=False, axis="x")
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=1 if len(names) > 2 else 2)


def _line(axis: Axes, found: Results, figure: str, across: str, up: str, label: str | None = None) -> None:
    values = [each[figure] for each in found.values()]
    axis.plot([int(size) for size in found], values, marker="o", label=label)
    axis.set(xlabel=across, ylabel=up, xscale="log", ylim=(0, 1.1 * max(values, default=1)))


def draw(name: str, results: Results, path: Path) -> None:
    panels, drawing = DRAWINGS[name]
    columns = min(panels, 2)
    rows = panels // columns
    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(rows, columns, figsize=(_PANEL[0] * columns, _PANEL[1] * rows), squeeze=False)
        drawing(results, list(axes.flat))
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.plot", description=__doc__)
    plt.switch_backend("svg")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=IMAGES)
    arguments = parser.parse_args()
    for name in DRAWINGS:
        found = arguments.results / f"{name}.json"
        if found.exists():
            path = arguments.out / f"{name}.svg"
            draw(name, json.loads(found.read_text())["results"], path)
            print(path)


if __name__ == "__main__":
    main()
