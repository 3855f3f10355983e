"""`aecodec decompress IN... [OUT]`: files back into pictures."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

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
    Resume,
    Strip,
    kinds_to_strip,
)
from aecodec.cli.pictures import PictureOptions, check_suffixes, describe, encode


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
    resume: Resume = False,
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
    """Whether an output has the size and no more metadata than asked for.

    Raises AecodecError if it must stay.
    """
    import aecodec
    from aecodec.cli.resume import is_picture_of_size
    from aecodec.container import read_file
    from aecodec.picture.thumbnail import thumbnail_size

    with error_context(job.source):
        details = aecodec.info(read_bytes(job.source, read_file), max_pixels=settings.max_pixels)
    width, height = settings.region[2:] if settings.region else (details.width, details.height)
    if settings.thumbnail:
        width, height = thumbnail_size((width, height), settings.thumbnail)
    scale, kinds = settings.upscale, settings.options.strip
    return is_picture_of_size(job.target, scale * width, scale * height, kinds)


def region_of(text: str) -> tuple[int, int, int, int]:
    """Left, top, width and height of text such as 0,0,640,480; raises UsageError."""
    try:
        left, top, width, height = map(int, text.split(","))
        if min(left, top, width - 1, height - 1) < 0:
            raise ValueError
    except ValueError:
        raise UsageError(f"--region {text}: give left,top,width,height in pixels, as 0,0,640,480") from None
    return left, top, width, height


def decompress_one(settings: Decompression, job: Job) -> Record:
    """Decompress one file; returns its record."""
    from aecodec.api import decompress_picture
    from aecodec.container import read_file

    started = time.perf_counter()
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
        image, file, notes = encode(picture, job.target.suffix or settings.suffix, settings.options)
    write(job.target, file, job.force, job.source if settings.options.keep_times else None)
    return {
        "input": str(job.source),
        "output": str(job.target),
        "bytes_before": len(data),
        "bytes_after": len(file),
        "width": image.width,
        "height": image.height,
        "mode": image.mode,
        "seconds": time.perf_counter() - started,
        "notes": notes,
    }
