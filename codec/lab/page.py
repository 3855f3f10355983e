"""The lab's page: tables, strips and maps in one HTML file without links."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path
from string import Template

from PIL import Image

from aecodec.lab.figures import COMPARED, WRITTEN, Figures
from aecodec.lab.run import Report

TEMPLATE = Path(__file__).parent / "templates" / "lab.html"
NONE = "&ndash;"


def data_url(image: Image.Image) -> str:
    """A picture as a lossless WebP in a data URL, so that what it shows is what was decoded."""
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=True)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def lab_page(report: Report) -> str:
    """The page of a run."""
    return Template(TEMPLATE.read_text("utf-8")).substitute(
        data=escape(report.data),
        train=report.train,
        held_out=report.held_out,
        written=min(WRITTEN, report.held_out),
        compared=min(COMPARED, report.held_out),
        max_bytes=report.max_bytes,
        figures="\n".join(map(figures_row, report.figures)),
        strips="\n".join(map(section, *sections(report))) if report.strips else "",
        maps="\n".join(
            f'<figure><img src="{data_url(image)}" alt=""><figcaption>{escape(name)}</figcaption></figure>'
            for name, image in report.maps
        ),
        detections="\n".join(detection_rows(report)),
    )


def sections(report: Report) -> tuple[list[str], list[list[tuple[str, str, Image.Image]]]]:
    """Titles of sections, and the strips of each, in the order of their first strip."""
    titles = list(dict.fromkeys(title for title, _, _ in report.strips))
    return titles, [[strip for strip in report.strips if strip[0] == title] for title in titles]


def section(title: str, strips: list[tuple[str, str, Image.Image]]) -> str:
    """A section of strips."""
    figures = [
        f'<figure><figcaption>{escape(caption)}</figcaption><img src="{data_url(image)}" alt=""></figure>'
        for _, caption, image in strips
    ]
    return f"<h2>{escape(title)}</h2>\n" + "\n".join(figures)


def cell(value: float | int | None, form: str = "d") -> str:
    """A number in a cell of a table."""
    return f'<td class="number">{NONE if value is None else format(value, form)}</td>'


def figures_row(row: Figures) -> str:
    """The line of a codec."""
    psnr = cell(row.psnr, ".2f") if row.psnr is not None else '<td class="number">lossless</td>'
    coded = (
        (cell(row.mean_bytes, ".1f"), cell(row.most_bytes)) if row.most_bytes else (cell(None), cell(None))
    )
    return (
        f"<tr><td>{escape(row.name)}</td><td>{escape(row.says)}</td>{cell(row.latents)}{coded[0]}{coded[1]}"
        f"{psnr}{cell(row.parameters, ',d')}{cell(row.seconds, '.0f')}</tr>"
    )


def detection_rows(report: Report) -> list[str]:
    """The lines of the table of what is odd."""
    return [
        f"<tr><td>{escape(data)}</td><td>{escape(row.name)}</td>{cell(row.auroc, '.3f')}"
        f"{cell(row.recall, '.3f')}{cell(row.precision, '.3f')}{cell(row.false_positives, '.3f')}</tr>"
        for data, row in report.detections
    ]
