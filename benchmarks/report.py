"""Results as report.html, with JSON, CSV and plots beside it."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from aecodec.benchmarks import figures
from aecodec.benchmarks.bd_rate import CONFIDENCE, Comparison, Curve
from aecodec.benchmarks.crops import OUR_QUALITY
from aecodec.benchmarks.measure import Measurement, mean_curve
from aecodec.benchmarks.metrics import all_metrics
from aecodec.benchmarks.reference_codecs import JPEG, OURS
from aecodec.benchmarks.run import HERE, KODAK, SPEED_BPP, Results, Row
from aecodec.benchmarks.viewer import TEMPLATES, render

SCHEMA = "aecodec-benchmark/1"
EYE = "ssimulacra2"  # the metric that stands for the eye
EQUAL = {EYE: "Where pictures look alike (equal SSIMULACRA 2),", "psnr": "At equal PSNR,"}
MUCH = 20.0  # percent from which a difference gets the stronger of two colours


def labels() -> dict[str, str]:
    """The label of each metric."""
    return {metric.name: metric.label for metric in all_metrics()}


def verdict(results: Results) -> str:
    """How aecodec's files compare with JPEG's and with the nearest of the others', a sentence.

    Its files are compared at equal SSIMULACRA 2, which stands for the eye, or at equal PSNR where that is
    all that was measured.
    """
    seen = [row for row in results.rows if row.codec == OURS and row.metric == EYE and row.result]
    metric = EYE if seen else "psnr"
    head = results.row(metric, JPEG, OURS)
    if head is None or head.result is None:
        reason = head.reason if head else "nothing was measured"
        return f"Nothing can be said of aecodec against JPEG: {reason}."
    text = f"{EQUAL[metric]} aecodec's files are {against(JPEG, head.result)}"
    if head.result.interval:
        low, high = head.result.interval
        text += f" ({CONFIDENCE} % interval of the rate: {low:+.1f} to {high:+.1f} %)"
    others = [row for row in ours_against_others(results, metric) if row.anchor != JPEG and row.result]
    if others:
        nearest = max(others, key=lambda row: row.result.pchip if row.result else -math.inf)
        assert nearest.result
        text += f" and {against(nearest.anchor, nearest.result)}, the strongest of the others"
    count = len(results.curves(metric).get(OURS, {}))
    quick = "; this is a quick look, not a result" if results.quick else ""
    return f"{text}, mean of {count} pictures{quick}."


def ours_against_others(results: Results, metric: str) -> list[Row]:
    """The rows of aecodec by default against codecs of others."""
    variants = {codec.name for codec in results.codecs if not codec.format}
    return [
        row
        for row in results.rows
        if (row.metric, row.codec) == (metric, OURS) and row.anchor not in variants
    ]


def overview(results: Results) -> tuple[list[str], dict[str, list[Row | None]]]:
    """Metrics, the eye's first, and by codec the row of aecodec against it under each of them."""
    order = [EYE, *(metric for metric in results.metrics if metric != EYE)]
    metrics = [metric for metric in order if metric in results.metrics]
    anchors = dict.fromkeys(row.anchor for metric in metrics for row in ours_against_others(results, metric))
    return metrics, {anchor: [results.row(metric, anchor, OURS) for metric in metrics] for anchor in anchors}


def shade(comparison: Comparison) -> str:
    """The class of a cell: smaller, larger, or unsure where the interval says neither."""
    low, high = comparison.interval or (comparison.pchip, comparison.pchip)
    if low <= 0 <= high:
        return "unsure"
    size = "much " if abs(comparison.pchip) >= MUCH else ""
    return f"{size}{'smaller' if comparison.pchip < 0 else 'larger'}"


def against(anchor: str, comparison: Comparison) -> str:
    """A clause of how much smaller or larger files are, and a remark where most pictures are unlike it."""
    unlike = unlike_mean(comparison)
    return f"{rate_in_words(comparison.pchip)} than {anchor}{' by mean curves' if unlike else ''}{unlike}"


def unlike_mean(comparison: Comparison) -> str:
    """A remark if the mean curves' difference lies outside the quartiles of the pictures, else empty."""
    if comparison.quartiles is None or comparison.quartiles[0] <= comparison.pchip <= comparison.quartiles[2]:
        return ""
    median = comparison.quartiles[1]
    count = sum(rate * median > 0 for rate in comparison.images.values())
    text = f"{'smaller' if median < 0 else 'larger'} on {count} of {len(comparison.images)} pictures"
    return f", {'though' if median * comparison.pchip < 0 else 'and'} {text} (median {median:+.1f} %)"


def rate_in_words(rate: float) -> str:
    return f"{abs(rate):.1f} % {'smaller' if rate < 0 else 'larger'}"


def monotone(measurements: list[Measurement], codec: str) -> bool | None:
    """Whether bytes and PSNR of every picture rise from each quality to the next; None without files.

    The PSNR of a file without loss is infinite, so nothing rises above it.
    """
    files: dict[str, list[tuple[int, float]]] = {}
    for m in sorted(measurements, key=lambda m: m.quality):
        if m.codec == codec and m.bytes is not None:
            files.setdefault(m.image, []).append((m.bytes, m.metrics.get("psnr", math.inf)))
    pairs = [pair for points in files.values() for pair in pairwise(points)]
    if not pairs:
        return None
    return all(a[0] < b[0] and a[1] < b[1] for a, b in pairs)


def published(results: Results) -> dict[str, Any]:
    """Published points of other codecs on Kodak, if exactly the files of Kodak were measured."""
    sums = KODAK / "SHA256SUMS"
    kodak = {line.split()[0] for line in sums.read_text().splitlines()} if sums.exists() else set()
    measured = {hashlib.sha256(p.path.read_bytes()).hexdigest() for p in results.photographs}
    if not kodak or measured != kodak:
        return {}
    text = (HERE / "published.json").read_text(encoding="utf-8")
    curves: dict[str, Any] = json.loads(text)["curves"]
    return curves


def remove_plots(out: Path) -> None:
    """Remove the plots of an earlier report, which may have had more metrics, and nothing else."""
    names = [f"{plot}-{metric}" for plot in ("rate", "difference") for metric in labels()]
    for name in [*names, "quality"]:
        for suffix in (".svg", ".png"):
            (out / (name + suffix)).unlink(missing_ok=True)


def draw_all(results: Results, out: Path) -> dict[str, str]:
    """Writes all plots; returns them as SVG by their titles."""
    remove_plots(out)
    plots = {}
    others: dict[str, Curve] = {
        name: np.array([curve["bpp"], curve["psnr"]]).T for name, curve in published(results).items()
    }
    for metric in results.metrics:
        curves, label = results.curves(metric), labels()[metric]
        if len(curves) < 2:
            continue
        drawing = figures.draw_curves(curves, others if metric == "psnr" else {}, label)
        plots[f"{label} over rate"] = figures.save(*drawing, out, f"rate-{metric}")
        if JPEG in curves:
            drawing = figures.draw_difference(curves, JPEG, label)
            plots[f"Rate at equal {label}"] = figures.save(*drawing, out, f"difference-{metric}")
    if ours := results.curves("psnr").get(OURS):
        mean = mean_curve(ours)
        qualities = sorted({m.quality for m in results.measurements if m.codec == OURS})
        if len(mean) == len(qualities):
            drawing = figures.draw_knob(qualities, mean, labels()["psnr"])
            plots["The quality setting"] = figures.save(*drawing, out, "quality")
    return plots


def write(results: Results, out: Path) -> Path:
    """Writes all files of the report into `out`; returns the page's path."""
    plots = draw_all(results, out)
    record = json.dumps(as_record(results), indent=1, allow_nan=False)
    (out / "report.json").write_text(record, encoding="utf-8")
    write_csv(results, out / "measurements.csv")
    metrics, overviewed = overview(results)
    text = render(
        "report.html",
        results.crop_comparisons,
        styles=[TEMPLATES / "report.css"],
        scripts=[TEMPLATES / "report.js"],
        results=results,
        verdict=verdict(results),
        unlike_mean=unlike_mean,
        monotone=monotone(results.measurements, OURS),
        plots=plots,
        published=published(results),
        labels=labels(),
        our_quality=OUR_QUALITY,
        confidence=CONFIDENCE,
        speed_bpp=SPEED_BPP,
        table=image_table(results),
        metrics=metrics,
        overview=overviewed,
        shade=shade,
    )
    (out / "report.html").write_text(text, encoding="utf-8")
    return out / "report.html"


def as_record(results: Results) -> dict[str, Any]:
    """The results for JSON. Crops are in the page alone."""
    codecs = [
        {
            "name": p.name,
            "settings": p.settings,
            "version": p.displayed_version or p.version,
            "licence": p.licence,
            "note": p.note,
        }
        for p in results.codecs
    ]
    pictures = [
        {"name": p.name, "sha256": p.sha256, "width": p.width, "height": p.height}
        for p in results.photographs
    ]
    return {
        "schema": SCHEMA,
        "verdict": verdict(results),
        "monotone": monotone(results.measurements, OURS),
        "command": results.command,
        "quick": results.quick,
        "metrics": results.metrics,
        "absent": results.absent,
        "environment": results.environment,
        "peers": codecs,
        "photographs": pictures,
        "comparisons": [asdict(row) for row in results.rows],
        "speeds": [asdict(speed) for speed in results.speeds],
        "measurements": [asdict(measurement) for measurement in results.measurements],
    }


def write_csv(results: Results, path: Path) -> None:
    """Write one line per file. Fields without a value are empty."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["codec", "quality", "image", "bytes", "bpp", *results.metrics, "failure"])
        for m in results.measurements:
            values = [m.metrics.get(metric, "") for metric in results.metrics]
            writer.writerow([m.codec, m.quality, m.image, m.bytes, m.bpp, *values, m.failure])


def image_table(results: Results) -> list[dict[str, Any]]:
    """The rate difference of aecodec to each anchor for each picture, in percent at equal PSNR."""
    rows = [row for row in results.rows if row.metric == "psnr" and row.codec == OURS]
    compared = {row.anchor: row.result.images for row in rows if row.result}
    return [
        {
            "image": photograph.name,
            **{anchor: images.get(photograph.name) for anchor, images in compared.items()},
        }
        for photograph in results.photographs
    ]
