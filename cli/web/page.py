"""The page of `aecodec serve`, which is one text: styles, scripts and all."""

from __future__ import annotations

from pathlib import Path

from aecodec.benchmarks.comparison import measure_labels
from aecodec.benchmarks.equal_bytes import SHOWN
from aecodec.benchmarks.viewer import digest, render
from aecodec.cli.web.work import MEASURED, MEASURES
from aecodec.container import MAGIC
from aecodec.encoder.options import DEFAULT_QUALITY, MOST_EFFORT

TEMPLATES = Path(__file__).parent / "templates"


def page(most_bytes: int, most_pixels: int) -> str:
    """The page, HTML, of a server with these limits."""
    return render(
        "serve.html",
        [],
        measured=MEASURED,
        styles=[TEMPLATES / "serve.css"],
        scripts=[TEMPLATES / name for name in ("zip.js", "serve.js")],
        data={
            "measures": list(measure_labels(MEASURES).items()),
            "magic": list(MAGIC),
            "most_bytes": most_bytes,
            "most_pixels": most_pixels,
        },
        others=list(SHOWN.values()),
        quality=DEFAULT_QUALITY,
        most_effort=MOST_EFFORT,
    )


def policy(text: str) -> str:
    """The content security policy of the page: its own script and style, and requests to this server."""
    script, style = (text.rsplit(f"<{tag}>", 1)[1].split(f"</{tag}>", 1)[0] for tag in ("script", "style"))
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "connect-src 'self'; img-src data: blob:; "
        f"script-src 'sha256-{digest(script)}'; style-src 'sha256-{digest(style)}'"
    )
