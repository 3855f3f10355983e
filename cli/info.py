"""`aecodec info IN`: what a file holds, without decoding it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cli.compress import stages_of
from cli.files import concerning, read_bytes, readable_size, shown


def info(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A file that `aecodec compress` wrote.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a file holds."""
    from dataclasses import asdict

    import codec
    from codec.bitstream import read_file

    with concerning(source):
        about = codec.info(read_bytes(source, read_file))
    if as_json:
        typer.echo(json.dumps({**asdict(about), "bpp": about.bpp}))
        return
    how = f"quality {about.quality:g}, model {named(about.model)}" if about.model else about.coding
    typer.echo(f"{shown(source)}: {about.width}x{about.height} {about.mode}, {how}")
    typer.echo(f"{readable_size(about.size)}, {about.bpp:.3f} bpp")
    for phrase in stages_of(asdict(about)):
        typer.echo(phrase)
    for kind, size in about.metadata.items():
        typer.echo(f"{kind}: {readable_size(size)}")


def named(fingerprint: str) -> str:
    """A model by its name and fingerprint, hexadecimal."""
    from codec.model import directory_with

    directory = directory_with(bytes.fromhex(fingerprint))
    return f"{directory.name} ({fingerprint})" if directory else f"{fingerprint}, which is not installed"
