"""`aecodec compress IN [OUT]`: a picture into a file."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from cli.files import SUFFIX, UsageError, choose_output, concerning, readable_size, write_atomically


def compress(
    source: Annotated[Path, typer.Argument(metavar="IN", help="PNG, JPEG, WebP, BMP, TIFF or AVIF.")],
    output: Annotated[
        Path | None, typer.Argument(metavar="[OUT]", help="Default: IN with the suffix .aec.")
    ] = None,
    quality: Annotated[
        float, typer.Option("--quality", "-q", min=0, max=100, help="Higher is better and larger.")
    ] = 50,
    model: Annotated[str, typer.Option(help="An installed model, see `aecodec models`.")] = "base",
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite OUT.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Compress a picture."""
    target = choose_output(source, output, SUFFIX, force)
    from codec import api
    from codec.image import FORMATS, psnr, read_picture

    if target.suffix.lower() in FORMATS:
        raise UsageError(f"{target} has the suffix of a picture: name a file for compressed data, as .aec")

    began = time.perf_counter()
    with concerning(source):
        picture = read_picture(source)
        data = api.compress(picture, quality, model=model)
    write_atomically(target, data, force)
    seconds = time.perf_counter() - began
    if quiet and not as_json:
        return
    before, about = source.stat().st_size, api.info(data)
    fidelity = psnr(picture.pixels, api.decompress_picture(data).pixels)
    record = {
        "input": str(source),
        "output": str(target),
        "bytes_before": before,
        "bytes_after": len(data),
        "ratio": before / len(data),
        "bpp": about.bpp,
        "psnr": fidelity,
        "seconds": seconds,
        "coding": about.coding,
    }
    if as_json:
        typer.echo(json.dumps(record))
    if not quiet:
        sizes = f"{readable_size(before)} -> {readable_size(len(data))}, {before / len(data):.1f}:1"
        decibels = "lossless" if fidelity is None else f"{fidelity:.2f} dB"
        typer.echo(f"{target}: {sizes}, {about.bpp:.3f} bpp, {decibels}, {seconds:.2f} s", err=True)
