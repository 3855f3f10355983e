"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.files import UsageError

OutputDir = Annotated[
    Path | None, typer.Option("--output-dir", "-d", help="Write into this folder, created if need be.")
]
Recursive = Annotated[bool, typer.Option("--recursive", "-r", help="Search folders for inputs.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Files at a time, each in a process.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and do nothing.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Overwrite outputs.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print results as JSON on stdout, a line for each file.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
KeepTimes = Annotated[bool, typer.Option("--keep-times", help="Give outputs the times of their inputs.")]
Resume = Annotated[bool, typer.Option("--resume", help="Leave outputs that exist, and make the others.")]
Cluster = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Do the work on a Dask cluster, as tcp://host:8786."),
]
Strip = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KINDS",
        help="Metadata to leave out: exif, gps (coordinates in EXIF, XMP and text), icc, xmp (which may hold "
        "GPS too), text (comments, IPTC, resolution) or all. Several with commas, or the option again.",
    ),
]


def kinds_to_strip(names: list[str] | None) -> tuple[str, ...]:
    """The kinds of metadata that --strip names; raises UsageError for others."""
    from codec import MetadataError
    from codec.picture.stripping import kinds_of

    try:
        return kinds_of(names or ())
    except MetadataError as error:
        raise UsageError(f"--{error}") from error
