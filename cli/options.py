"""Options that several commands share."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aecodec.cli.files import UsageError, path_of

if TYPE_CHECKING:
    from aecodec.picture.reading import ReadOptions

# What help says of names, of each command that writes.
NAMES = (
    "A second name is OUT only where no picture of that name exists; "
    "-o names OUT in any case, and with -d every name is an input."
)
THOUSANDS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
BINARY = {"k": 2**10, "m": 2**20, "g": 2**30}


def count_of(unit: str, text: str) -> int:
    """A number, such as 20000, 20k, 1.5M or 20Ki, perhaps with its unit; raises typer.BadParameter."""
    found = re.fullmatch(rf"(\d+(?:\.\d+)?) ?(?:([kmg]i)|([kmg]?)){unit}?", text.strip(), re.IGNORECASE)
    if not found:
        raise typer.BadParameter(f"{text!r} is no number: give one such as 20000, 20k, 1.5M or 20Ki")
    number, binary, thousands = found.groups()
    factor = BINARY[binary[0].lower()] if binary else THOUSANDS[thousands.lower()]
    count = int(Decimal(number) * factor)
    if count < 1:
        raise typer.BadParameter(f"{text!r} is less than 1: give a larger one")
    return count


def bytes_of(text: str) -> int:
    """The bytes that an option asks for; raises typer.BadParameter."""
    return count_of("B", text)


def pixels_of(text: str) -> int:
    """The pixels that an option asks for; raises typer.BadParameter."""
    return count_of("P", text)


Depth = Annotated[
    int | None, typer.Option(help="8: convert pictures of more bits a sample, which are otherwise refused.")
]
Frame = Annotated[
    int | None, typer.Option(min=0, help="Of files of several pictures the one of this number, from 0 on.")
]
Tolerant = Annotated[bool, typer.Option("--tolerant", help="Read what is there of damaged pictures.")]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        metavar="PIXELS", parser=pixels_of, help="Refuse larger pictures, as 24M. Default: 178956970."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="OUT", parser=path_of, help="Write the one output under this name."
    ),
]
OutputDir = Annotated[
    Path | None,
    typer.Option(
        "--output-dir", "-d", help="Write into this folder, created if need be; every name is an input."
    ),
]
Recursive = Annotated[bool, typer.Option("--recursive", "-r", help="Search folders for inputs.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Files at a time, each in a process.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and do nothing.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Overwrite outputs.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print results as JSON on stdout, a line for each file.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
KeepTimes = Annotated[
    bool, typer.Option("--keep-times", help="Give outputs the times and permissions of their inputs.")
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Leave outputs that say they were made so, make the others.",
    ),
]
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
Background = Annotated[
    str | None,
    typer.Option(metavar="COLOUR", help="Behind transparency in JPEG and BMP: a name, #rgb or #rrggbb."),
]
JpegQuality = Annotated[int, typer.Option(min=1, max=100, help="Of JPEG outputs, 1 to 100.")]
JPEG_QUALITY = 95  # by default, as in the library


def kinds_to_strip(names: list[str] | None) -> tuple[str, ...]:
    """The kinds of metadata that --strip names; raises UsageError for others."""
    from aecodec import MetadataError
    from aecodec.picture.stripping import kinds_of

    try:
        return kinds_of(names or ())
    except MetadataError as error:
        raise UsageError(f"--{error}") from error


def read_options(depth: int | None, frame: int | None, tolerant: bool, max_pixels: int | None) -> ReadOptions:
    """How inputs are read; raises UsageError."""
    from aecodec import AecodecError
    from aecodec.bitstream import MAX_PIXELS
    from aecodec.picture.reading import ReadOptions

    try:
        return ReadOptions(depth, frame, tolerant, max_pixels or MAX_PIXELS).checked()
    except AecodecError as error:
        raise UsageError(str(error)) from error
