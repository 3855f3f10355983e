"""`aecodec export-html FILE`: a page that shows the picture to whoever has no aecodec."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Annotated

import typer

from aecodec.cli.files import (
    STANDARD_STREAM,
    choose_output,
    error_context,
    own_limit,
    path_of,
    printable,
    read_bytes,
    readable_size,
    write,
)
from aecodec.cli.options import Force, MaxPixels, Quiet

if TYPE_CHECKING:
    from aecodec import Info
    from aecodec.picture import Picture

# Metadata that the page leaves out, as who passes it on may not know of it, and how the page calls it.
LEFT_OUT = {"exif": "EXIF", "xmp": "XMP", "text": "texts, comments or resolution"}
TEMPLATE = Path(__file__).parent / "templates" / "picture.html"


def export_html(
    path: Annotated[
        Path, typer.Argument(metavar="FILE", parser=path_of, help="A file that `aecodec compress` wrote.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="PAGE", parser=path_of, help="The page; FILE with .html if not given."
        ),
    ] = None,
    max_pixels: MaxPixels = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Write a page that shows the picture in any browser, without aecodec and from disk."""
    from aecodec.container import MAX_PIXELS, read_file

    with error_context(path):
        data = read_bytes(path, read_file)  # before an output is named after it: a folder may have no name
    wanted = output or (path if path == STANDARD_STREAM else path.with_suffix(".html"))
    target = choose_output(path, wanted, force)
    with error_context(path):
        limit = max_pixels or MAX_PIXELS
        with own_limit(data, limit):
            text = page(data, printable(Path(path.name)), limit).encode("utf-8")
    write(target, text, force)
    if not quiet:
        typer.echo(f"{printable(target)}: {readable_size(len(text))}", err=True)


def page(data: bytes, name: str, max_pixels: int) -> str:
    """The page of a file's bytes, HTML; raises AecodecError."""
    import aecodec
    from aecodec.api import decompress_picture

    info = aecodec.info(data, max_pixels=max_pixels)
    picture = decompress_picture(data, max_pixels=max_pixels, strip=LEFT_OUT)
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=escape(name),
        image=data_uri(picture),
        width=info.width,
        height=info.height,
        clear="" if picture.alpha is None else ' class="clear"',
        about=escape(describe(info)),
        metadata=escape(metadata_note(info)),
    )


def data_uri(picture: Picture) -> str:
    """The picture as a data URI: a lossless WebP, or a PNG where that cannot hold its size or its colours."""
    from aecodec.container import Box
    from aecodec.picture.writing import LONGEST_SIDES, encode_image, to_pillow

    image = to_pillow(picture)
    small = max(image.size) <= LONGEST_SIDES["WEBP"] and Box.COLOUR not in picture.metadata
    pillow_format = "WEBP" if small else "PNG"
    data = base64.b64encode(encode_image(image, pillow_format)).decode()
    return f"data:image/{pillow_format.lower()};base64,{data}"


def describe(info: Info) -> str:
    """A sentence of size and coding."""
    coding = "lossless" if info.quality is None else f"quality {info.quality:g}"
    size = f"{readable_size(info.size)} as an aecodec file, {info.bpp:.3f} bits per pixel"
    return f"{info.width} × {info.height} pixels; {size}, {coding}."


def metadata_note(info: Info) -> str:
    """A sentence that lists the metadata which the page leaves out."""
    kinds = {kind: size for kind, size in info.metadata.items() if kind in LEFT_OUT}
    if not kinds:
        return "The file holds no metadata that this page would leave out."
    listed = ", ".join(f"{LEFT_OUT[kind]} ({readable_size(size)})" for kind, size in kinds.items())
    return f"The file also holds metadata, which this page leaves out: {listed}."
