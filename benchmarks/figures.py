"""The plots of a report, drawn once and saved as SVG, with labels on hover, and as PNG."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from itertools import count
from pathlib import Path

import matplotlib as mpl
import numpy as np
from bjontegaard import bd_rate as bjontegaard_rate
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aecodec.benchmarks.bd_rate import Curve, rising, shared_range
from aecodec.benchmarks.measure import mean_curve

SVG = "http://www.w3.org/2000/svg"
# Seven of Okabe and Ito's colours, which the colour-blind tell apart, and six more. Markers differ as
# well, and are one fewer, so that pairs do not repeat soon.
COLOURS = (
    "#000000",
    "#D55E00",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#0072B2",
    "#56B4E9",
    "#8C6D1F",
    "#7F7F7F",
    "#882255",
    "#44AA99",
    "#AA4499",
    "#999933",
)
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "d", "p", "h")
WIDTH, HEIGHT, DOTS = 8.0, 5.0, 120  # inches, inches, per inch

Labels = dict[str, str]  # of the SVG's elements, by id
Curves = Mapping[str, Mapping[str, Curve]]  # codec, picture, (qualities, 2)


def new_axes(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def label_points(axes: Axes, points: Curve, texts: list[str], labels: Labels) -> None:
    """Put invisible discs over points. They show a text under the pointer."""
    for (x, y), text in zip(points, texts, strict=True):
        name = f"point-{len(labels)}"
        labels[name] = text
        axes.plot(x, y, "o", markersize=9, alpha=0, gid=name)


def draw_curves(curves: Curves, published: Mapping[str, Curve], metric: str) -> tuple[Figure, Labels]:
    """Rate against a metric: every picture faint, the mean bold; published curves dashed."""
    figure, axes = new_axes("bits per pixel, the whole file", metric)
    labels: Labels = {}
    for number, (codec, images) in enumerate(curves.items()):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        for points in images.values():
            axes.plot(*points.T, color=colour, alpha=0.07, linewidth=0.6)
        mean = mean_curve(images)
        bold = 2.4 if number == 0 else 1.4
        axes.plot(*mean.T, color=colour, marker=marker, markersize=4, linewidth=bold, label=codec)
        label_points(axes, mean, [f"{codec}: {y:.4g} at {x:.3f} bpp" for x, y in mean], labels)
    means = [mean_curve(images) for images in curves.values()]
    axes.set_xlim(0, min(3.0, max(mean[:, 0].max() for mean in means)))
    inside = np.concatenate([mean[mean[:, 0] <= axes.get_xlim()[1]] for mean in means])
    axes.set_ylim(np.percentile(inside[:, 1], 1), inside[:, 1].max())
    for name, points in published.items():
        axes.plot(*points.T, "--", color="#999999", linewidth=0.9)
        seen = points[(points[:, 0] < axes.get_xlim()[1]) & (points[:, 1] < axes.get_ylim()[1])]
        axes.annotate(name, seen[-1], fontsize=6, color="#777777")
        label_points(axes, seen, [f"{name}, published: {y:.4g} at {x:.3f} bpp" for x, y in seen], labels)
    axes.legend(fontsize=8, loc="lower right")
    return figure, labels


def draw_difference(curves: Curves, anchor: str, metric: str) -> tuple[Figure, Labels]:
    """The difference of rate of each mean curve to the anchor's, over the metric."""
    figure, axes = new_axes(metric, f"rate against {anchor} (%)")
    labels: Labels = {}
    means = {codec: rising(mean_curve(images)) for codec, images in curves.items()}
    for number, (codec, mean) in enumerate(means.items()):
        span = shared_range(means[anchor], mean)
        if codec == anchor or span is None:
            continue
        arguments = means[anchor][:, 0], means[anchor][:, 1], mean[:, 0], mean[:, 1]
        options = {"method": "pchip", "require_matching_points": False, "min_overlap": 0}
        _, first, second = bjontegaard_rate(*arguments, interpolators=True, **options)
        at = np.linspace(*span, 60)
        rate = 100 * (10 ** (second(at) - first(at)) - 1)
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(at, rate, color=colour, linewidth=2.4 if number == 0 else 1.4, label=codec)
        points = np.stack([at, rate], axis=1)[::6]
        label_points(axes, points, [f"{codec}: {y:+.1f} % at {x:.4g}" for x, y in points], labels)
    axes.axhline(0, color="#555555", linewidth=0.8)
    axes.legend(fontsize=8)
    return figure, labels


def draw_knob(qualities: list[float], mean: Curve, metric: str) -> tuple[Figure, Labels]:
    """Rate and metric of aecodec over its quality setting."""
    figure, axes = new_axes("quality", "bits per pixel")
    labels: Labels = {}
    axes.plot(qualities, mean[:, 0], "o-", color=COLOURS[0], markersize=4, label="bits per pixel")
    texts = [f"quality {q:g}: {x:.3f} bpp, {y:.2f}" for q, (x, y) in zip(qualities, mean, strict=True)]
    label_points(axes, np.stack([qualities, mean[:, 0]], axis=1), texts, labels)
    other = axes.twinx()
    other.plot(qualities, mean[:, 1], "s--", color=COLOURS[5], markersize=4, label=metric)
    other.set_ylabel(f"{metric}, dashed", color=COLOURS[5])
    axes.set_ylim(0)
    return figure, labels


def save(figure: Figure, labels: Labels, folder: Path, name: str) -> str:
    """Writes `name`.svg and `name`.png into the folder; returns the SVG for a page."""
    figure.savefig(folder / f"{name}.png", dpi=DOTS)
    file = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ElementTree.fromstring(file.getvalue())
    unique = count()
    for element in root.iter():
        identifier = element.get("id", "")
        if identifier in labels:
            title = ElementTree.Element(f"{{{SVG}}}title")
            title.text = labels[identifier]
            element.insert(0, title)
            element.set("id", f"{name}-{next(unique)}")
    text = ElementTree.tostring(root, encoding="unicode")
    (folder / f"{name}.svg").write_text(text, encoding="utf-8")
    return text
