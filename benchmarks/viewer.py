"""The viewer of comparisons: one component of the pages of `compare`, `serve` and `benchmark`.

A page includes `viewer.html`, and renders with what `render` adds: styles, scripts and data. All is in the
page: it loads nothing, and its policy allows no other script.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from aecodec.benchmarks.comparison import BITS_BLOCK, BLOCK, ERROR_UNITS, OURS, Comparison, measure_labels

TEMPLATES = Path(__file__).parent / "templates"
# What is shown, the blind comparison, pointers and keys.
SCRIPTS = ("viewer.js", "votes.js", "controls.js")
WHOLE = "the whole picture"


def render(
    template: str,
    pictures: Sequence[Comparison],
    *,
    measured: str = WHOLE,
    styles: Sequence[Path] = (),
    scripts: Sequence[Path] = (),
    data: dict[str, Any] | None = None,
    **values: Any,
) -> str:
    """A page, HTML, of a template that includes the viewer, with what comparisons of `pictures` show.

    `measured` says what the measures are of. `styles` and `scripts` are files that follow the viewer's, and
    `data` is what those scripts find in `given` besides the pictures. `values` are the template's.
    """
    folders = [TEMPLATES, *dict.fromkeys(path.parent for path in scripts)]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders), autoescape=True, undefined=jinja2.StrictUndefined
    )
    script = joined([*(TEMPLATES / name for name in SCRIPTS), *scripts])
    style = joined([TEMPLATES / "viewer.css", *styles])
    return environment.get_template(template).render(
        ours=OURS,
        measured=measured,
        style=style,
        script=script,
        digest=digest(script),
        data={
            "ours": OURS,
            "measures": list(measure_labels().items()),  # as a list has an order
            "block": BLOCK,
            "bits_block": BITS_BLOCK,
            "error_units": ERROR_UNITS,
            "pictures": [comparison.as_record() for comparison in pictures],
            **(data or {}),
        },
        **values,
    )


def joined(paths: Sequence[Path]) -> str:
    """The text of some files, one after the other."""
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def digest(text: str) -> str:
    """The SHA-256 of a script or style, as a content security policy has it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
