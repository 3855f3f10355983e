"""Comparisons as one page that holds all it needs: it loads nothing, and its only script is its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

import jinja2

from aecodec.benchmarks.comparison import (
    BITS_BLOCK,
    BLOCK,
    ERROR_UNITS,
    OURS,
    Comparison,
    measure_labels,
)

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("compare.js", "votes.js", "controls.js")  # what is shown, the blind comparison, pointers and keys


def page(comparisons: Sequence[Comparison]) -> str:
    """The page of one picture or several, HTML; see docs/compare.md for what it can do."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    script = "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return environment.get_template("compare.html").render(
        title=title(comparisons),
        ours=OURS,
        style=(TEMPLATES / "compare.css").read_text(encoding="utf-8"),
        script=script,
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data={
            "ours": OURS,
            "measures": list(measure_labels().items()),  # as a list has an order
            "block": BLOCK,
            "bits_block": BITS_BLOCK,
            "error_units": ERROR_UNITS,
            "pictures": [comparison.as_record() for comparison in comparisons],
        },
    )


def title(comparisons: Sequence[Comparison]) -> str:
    """What the page is called."""
    names = [comparison.name for comparison in comparisons]
    what = names[0] if len(names) == 1 else f"{len(names)} pictures"
    return f"{what} at equal bytes"
