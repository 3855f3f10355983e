"""`aecodec decompress IN... [OUT]`: files back into pictures."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aecodec.cli.batch import run
from aecodec.cli.files import UsageError, error_context, own_limit, path_of, read_bytes, write
from aecodec.cli.jobs import Batch, Job, Record
from aecodec.cli.naming import COMPRESSED, plan
from aecodec.cli.options import (
    JPEG_QUALITY,
    NAMES,
    AsJson,
    Background,
    Cluster,
    DryRun,
    Force,
    Jobs,
    JpegQuality,
    KeepTimes,
    MaxPixels,
    Output,
    OutputDir,
    Quiet,
    Recursive,
    Strip,
    kinds_to_strip,
)
from aecodec.cli.pictures import PictureOptions, check_suffixes, describe, encode

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, slots=True)
class Decompression:
    """What is done to each file."""

    suffix: str  # of the format, where the output's name does not say
    region: tuple[int, int, int, int] | None  # left, top, width, height
    max_pixels: int
    enhance: bool
    upscale: int
    thumbnail: int | None  # pixels each way at most
    options: PictureOptions


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture file that was made of one of `bytes_before` bytes, and the image in it."""

    bytes_before: int
    image: Image.Image
    file: bytes
    notes: tuple[str, ...]


def decompress(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN... [OUT]",
            parser=path_of,
            help=f"Files that `aecodec compress` wrote; - is a pipe. {NAMES}",
        ),
    ],
    format: Annotated[
        str, typer.Option(help="Format where OUT has no suffix: png, jpg, webp, bmp, tiff, avif.")
    ] = "png",
    region: Annotated[str, typer.Option(help="Only this part: left,top,width,height in pixels.")] = "",
    enhance: Annotated[bool, typer.Option("--enhance", help="Remove artefacts of the coding.")] = False,
    upscale: Annotated[int, typer.Option(help="Enlarge 2, 3 or 4 times.")] = 1,
    thumbnail: Annotated[
        int | None,
        typer.Option(metavar="PIXELS", min=1, help="A small picture, of so many pixels each way at most."),
    ] = None,
    strip: Strip = None,
    max_pixels: MaxPixels = None,
    background: Background = None,
    jpeg_quality: JpegQuality = JPEG_QUALITY,
    output: Output = None,
    output_dir: OutputDir = None,
    recursive: Recursive = False,
    jobs: Jobs = 1,
    dry_run: DryRun = False,
    keep_times: KeepTimes = False,
    force: Force = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Leave outputs that a decode shows to be as they should; make the others."
        ),
    ] = False,
    cluster: Cluster = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Decompress files. OUT is IN with the suffix .png if it is not given."""
    from aecodec.container import MAX_PIXELS
    from aecodec.picture.writing import FORMATS
    from aecodec.restoration.upscaling import SCALES

    suffix, area, kinds = (
        "." + format.lower().removeprefix("."),
        region_of(region) if region else None,
        kinds_to_strip(strip),
    )
    if suffix not in FORMATS:
        raise UsageError(f"--format {format}: choose of {' '.join(FORMATS)}")
    if upscale not in (1, *SCALES):
        raise UsageError(f"--upscale {upscale}: choose 2, 3 or 4")
    if thumbnail and (area or enhance or upscale > 1):
        raise UsageError("--thumbnail is of the whole picture: leave out --region, --enhance and --upscale")
    batch = Batch(output_dir, recursive, jobs, dry_run, force, as_json, quiet, resume, cluster, output)
    planned_jobs = plan(paths, COMPRESSED, suffix, batch)
    check_suffixes(planned_jobs)
    limit, options = max_pixels or MAX_PIXELS, PictureOptions(background, jpeg_quality, keep_times, kinds)
    settings = Decompression(suffix, area, limit, enhance, upscale, thumbnail, options)
    run(planned_jobs, partial(decompress_one, settings), describe, batch, partial(is_made, settings))


def is_made(settings: Decompression, job: Job) -> bool:
    """Whether an output is the picture that would be made, which is decoded for this.

    False for an empty output; raises AecodecError if it must stay.
    """
    from aecodec.cli.resume import is_picture

    return is_picture(job.target, lambda: decoded(settings, job).file, settings.max_pixels)


def region_of(text: str) -> tuple[int, int, int, int]:
    """Left, top, width and height of text such as 0,0,640,480; raises UsageError."""
    try:
        left, top, width, height = map(int, text.split(","))
        if min(left, top, width - 1, height - 1) < 0:
            raise ValueError
    except ValueError:
        raise UsageError(f"--region {text}: give left,top,width,height in pixels, as 0,0,640,480") from None
    return left, top, width, height


def decoded(settings: Decompression, job: Job) -> Decoded:
    """What comes of one file; raises AecodecError."""
    from aecodec.api import decompress_picture
    from aecodec.container import read_file

    with error_context(job.source):
        data = read_bytes(job.source, read_file)
        with own_limit(data, settings.max_pixels, settings.region, settings.upscale):
            picture = decompress_picture(
                data,
                max_pixels=settings.max_pixels,
                region=settings.region,
                enhance=settings.enhance,
                upscale=settings.upscale,
                thumbnail=settings.thumbnail,
            )
        return Decoded(len(data), *encode(picture, job.target.suffix or settings.suffix, settings.options))


def decompress_one(settings: Decompression, job: Job) -> Record:
    """Decompress one file; returns its record."""
    started = time.perf_counter()
    made = decoded(settings, job)
    write(job.target, made.file, job.force, job.source if settings.options.keep_times else None)
    return {
        "input": str(job.source),
        "output": str(job.target),
        "bytes_before": made.bytes_before,
        "bytes_after": len(made.file),
        "width": made.image.width,
        "height": made.image.height,
        "mode": made.image.mode,
        "seconds": time.perf_counter() - started,
        "notes": made.notes,
    }
