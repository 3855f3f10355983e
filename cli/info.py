"""`aecodec info IN...`: what files hold, without decoding them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aecodec.cli.compress import stages_of
from aecodec.cli.files import UsageError, concerning, path_of, read_bytes, readable_size, shown
from aecodec.cli.naming import compressed, search
from aecodec.cli.options import AsJson, Recursive

if TYPE_CHECKING:
    from aecodec import Info


def info(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN...", parser=path_of, help="Files that `aecodec compress` wrote; - is a pipe."
        ),
    ],
    recursive: Recursive = False,
    as_json: AsJson = False,
) -> None:
    """Show what files hold. Of many, a bad one is reported, and the exit code is 1."""
    from aecodec import AecodecError

    found = [each for path in paths for each in files_of(path, recursive)]
    if not found:
        raise UsageError(f"{', '.join(map(str, paths))}: no file of ours is in there: name one")
    if len(found) == 1 and not found[0][1]:
        show(found[0][0], as_json)
        return
    sizes, failures = [], 0
    for path, failure in found:
        try:
            if failure:
                raise AecodecError(failure)
            sizes.append(show(path, as_json))
        except AecodecError as error:
            failures += 1
            typer.echo(f"aecodec: {error}", err=True)
            if as_json:
                typer.echo(json.dumps({"input": str(path), "error": str(error)}))
    failed = f", {failures} failed" if failures else ""
    typer.echo(f"{len(sizes)} of {len(found)} files: {readable_size(sum(sizes))}{failed}", err=True)
    if failures:
        raise typer.Exit(1)


def files_of(path: Path, recursive: bool) -> list[tuple[Path, str]]:
    """A path, or the files of ours below a folder; each with why it cannot be read, if so."""
    if not (recursive and path.is_dir()):
        return [(path, "")]
    return sorted((found.source, found.failure) for found in search(path, compressed()))


def show(path: Path, as_json: bool) -> int:
    """Print what a file holds, and return its bytes; raises AecodecError."""
    import aecodec
    from aecodec.container import read_file

    with concerning(path):
        about = aecodec.info(read_bytes(path, read_file))
    if as_json:
        typer.echo(json.dumps({"input": str(path), **asdict(about), "bpp": about.bpp}))
    else:
        describe(path, about)
    return about.size


def describe(path: Path, about: Info) -> None:
    """Print what a file holds, for people."""
    how = f"quality {about.quality:g}, model {named(about.model)}" if about.model else about.coding
    typer.echo(f"{shown(path)}: {about.width}x{about.height} {about.mode}, {how}")
    if about.coded_gray and about.mode.startswith("RGB"):
        typer.echo("coded as gray")
    typer.echo(f"{readable_size(about.size)}, {about.bpp:.3f} bpp")
    for phrase in stages_of(asdict(about)):
        typer.echo(phrase)
    for kind, size in about.metadata.items():
        typer.echo(f"{kind}: {readable_size(size)}")


def named(fingerprint: str) -> str:
    """A model by its name and fingerprint, hexadecimal."""
    from aecodec.model.registry import directory_with

    directory = directory_with(bytes.fromhex(fingerprint))
    return f"{directory.name} ({fingerprint})" if directory else f"{fingerprint}, which is not installed"
