"""`aecodec info IN...`: what files hold, without decoding them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aecodec.cli.compress import stage_phrases
from aecodec.cli.files import UsageError, error_context, path_of, printable, read_bytes, readable_size
from aecodec.cli.naming import COMPRESSED, search
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

    files = [file for path in paths for file in files_of(path, recursive)]
    if not files:
        raise UsageError(f"{', '.join(map(str, paths))}: no file of ours is in there: name one")
    sizes, failures = [], 0
    for path, failure in files:
        try:
            if failure:
                raise AecodecError(failure)
            sizes.append(show(path, as_json))
        except AecodecError as error:
            if as_json:
                typer.echo(json.dumps({"input": str(path), "error": str(error)}))
            if len(files) == 1:  # whose error has an exit code of its own
                raise
            failures += 1
            typer.echo(f"aecodec: {error}", err=True)
    if len(files) == 1:
        return
    failed = f", {failures} failed" if failures else ""
    typer.echo(f"{len(sizes)} of {len(files)} files: {readable_size(sum(sizes))}{failed}", err=True)
    if failures:
        raise typer.Exit(1)


def files_of(path: Path, recursive: bool) -> list[tuple[Path, str]]:
    """A path, or the .aec files below a folder, each with the reason why it cannot be read, or none."""
    if not (recursive and path.is_dir()):
        return [(path, "")]
    return sorted((file.source, file.failure) for file in search(path, COMPRESSED))


def show(path: Path, as_json: bool) -> int:
    """Print what a file holds, and return its bytes; raises AecodecError."""
    import aecodec
    from aecodec.container import read_file

    with error_context(path):
        details = aecodec.info(read_bytes(path, read_file))
    if as_json:
        typer.echo(json.dumps({"input": str(path), **asdict(details), "bpp": details.bpp}))
    else:
        describe(path, details)
    return details.size


def describe(path: Path, details: Info) -> None:
    """Print what a file holds, for people."""
    coding = (
        f"quality {details.quality:g}, model {model_label(details.model)}"
        if details.model
        else details.coding
    )
    typer.echo(f"{printable(path)}: {details.width}x{details.height} {details.mode}, {coding}")
    if details.coded_gray and details.mode.startswith("RGB"):
        typer.echo("coded as gray")
    typer.echo(f"{readable_size(details.size)}, {details.bpp:.3f} bpp")
    for phrase in stage_phrases(asdict(details)):
        typer.echo(phrase)
    for name, size in details.metadata.items():
        typer.echo(f"{name}: {readable_size(size)}")


def model_label(fingerprint: str) -> str:
    """The name and the hexadecimal fingerprint of a model."""
    from aecodec.model.registry import directory_with

    directory = directory_with(bytes.fromhex(fingerprint))
    return f"{directory.name} ({fingerprint})" if directory else f"{fingerprint}, which is not installed"
