"""`aecodec decompress IN... [OUT]`: files back into pictures."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from aecodec.cli.batch import run
from aecodec.cli.files import UsageError, concerning, path_of, read_bytes, write
from aecodec.cli.jobs import Batch, Job, Record
from aecodec.cli.naming import compressed, plan
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
    strip: tuple[str, ...]
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

    suffix, part, kinds = "." + format.lower().removeprefix("."), region_of(region), kinds_to_strip(strip)
    if suffix not in FORMATS:
        raise UsageError(f"--format {format}: choose of {' '.join(FORMATS)}")
    if upscale not in (1, *SCALES):
        raise UsageError(f"--upscale {upscale}: choose 2, 3 or 4")
    if thumbnail and (part or enhance or upscale > 1):
        raise UsageError("--thumbnail is of the whole picture: leave out --region, --enhance and --upscale")
    batch = Batch(output_dir, recursive, jobs, dry_run, force, as_json, quiet, resume, cluster, output)
    planned = plan(paths, compressed(), suffix, batch)
    check_suffixes(planned)
    limit, options = max_pixels or MAX_PIXELS, PictureOptions(background, jpeg_quality, keep_times)
    how = Decompression(suffix, part, limit, enhance, upscale, thumbnail, kinds, options)
    run(planned, partial(decompress_one, how), describe, batch, partial(is_made, how))


def is_made(how: Decompression, job: Job) -> bool:
    """Whether an output is as large and as bare as asked; raises AecodecError where it must stay."""
    import aecodec
    from aecodec.cli.resume import is_picture_of
    from aecodec.container import read_file
    from aecodec.decoder.thumbnail import thumbnail_size

    with concerning(job.source):
        about = aecodec.info(read_bytes(job.source, read_file), max_pixels=how.max_pixels)
    width, height = how.region[2:] if how.region else (about.width, about.height)
    if how.thumbnail:
        width, height = thumbnail_size((width, height), how.thumbnail)
    return is_picture_of(job.target, how.upscale * width, how.upscale * height, how.strip)


def region_of(text: str) -> tuple[int, int, int, int] | None:
    """Four numbers with commas that may be a part of a picture, None for no text; raises UsageError."""
    if not text:
        return None
    try:
        left, top, width, height = map(int, text.split(","))
        if min(left, top, width - 1, height - 1) < 0:
            raise ValueError
    except ValueError:
        raise UsageError(f"--region {text}: give left,top,width,height in pixels, as 0,0,640,480") from None
    return left, top, width, height


def decompress_one(how: Decompression, job: Job) -> Record:
    """Decompress one file; what came of it."""
    from aecodec.api import decompress_picture
    from aecodec.container import read_file

    began = time.perf_counter()
    with concerning(job.source):
        data = read_bytes(job.source, read_file)
        picture = decompress_picture(
            data,
            max_pixels=how.max_pixels,
            region=how.region,
            enhance=how.enhance,
            upscale=how.upscale,
            thumbnail=how.thumbnail,
            strip=how.strip,
        )
        image, file, notes = encode(picture, job.target.suffix or how.suffix, how.options)
    write(job.target, file, job.force, job.source if how.options.keep_times else None)
    return {
        "input": str(job.source),
        "output": str(job.target),
        "bytes_before": len(data),
        "bytes_after": len(file),
        "width": image.width,
        "height": image.height,
        "mode": image.mode,
        "seconds": time.perf_counter() - began,
        "notes": notes,
    }
