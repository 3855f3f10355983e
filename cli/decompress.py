"""`aecodec decompress IN [OUT]`: a file back into a picture."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from cli.files import choose_output, concerning, read_bytes, readable_size, write_atomically


def decompress(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A file that `aecodec compress` wrote.")],
    output: Annotated[
        Path | None,
        typer.Argument(metavar="[OUT]", help="Format by suffix. Default: IN with the suffix .png."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite OUT.")] = False,
    max_pixels: Annotated[
        int | None, typer.Option(min=1, help="Refuse larger pictures. Default: 268435456.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Decompress a file."""
    target = choose_output(source, output, ".png", force)
    import codec
    from codec.bitstream import MAX_PIXELS
    from codec.image import encode_image, format_for

    began = time.perf_counter()
    kind = format_for(target)
    with concerning(source):
        data = read_bytes(source)
        image = codec.decompress(data, max_pixels=max_pixels or MAX_PIXELS)
        picture = encode_image(image, kind)
    write_atomically(target, picture, force)
    seconds = time.perf_counter() - began
    record = {
        "input": str(source),
        "output": str(target),
        "bytes_before": len(data),
        "bytes_after": len(picture),
        "width": image.width,
        "height": image.height,
        "mode": image.mode,
        "seconds": seconds,
    }
    if as_json:
        typer.echo(json.dumps(record))
    if not quiet:
        sizes = f"{readable_size(len(data))} -> {readable_size(len(picture))}"
        shape = f"{image.width}x{image.height} {image.mode}"
        typer.echo(f"{target}: {sizes}, {shape}, {seconds:.2f} s", err=True)
