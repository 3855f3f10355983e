"""`aecodec compress IN... [OUT]`: pictures into files."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.batch import Batch, Job, Record, plan, run
from cli.files import STANDARD, SUFFIX, UsageError, concerning, keep_times, read_bytes, readable_size, write
from cli.options import (
    AsJson,
    Cluster,
    DryRun,
    Force,
    Jobs,
    KeepTimes,
    OutputDir,
    Quiet,
    Recursive,
    Resume,
)

if TYPE_CHECKING:
    from codec.attempt import Options

KINDS = ("exif", "icc", "xmp")


@dataclass(frozen=True, slots=True)
class Compression:
    """What is done to each picture."""

    options: Options
    strip: tuple[str, ...]
    keep_times: bool
    force: bool
    measure: bool  # decode again for the PSNR


def compress(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="IN... [OUT]", help="PNG, JPEG, WebP, BMP, TIFF, AVIF, GIF; - is a pipe."),
    ],
    quality: Annotated[
        float | None,
        typer.Option("--quality", "-q", min=0, max=100, help="Higher is better and larger. Default: 50."),
    ] = None,
    max_bytes: Annotated[int | None, typer.Option(min=1, help="As good as fits these bytes.")] = None,
    bpp: Annotated[float | None, typer.Option(min=0, help="As good as fits these bits a pixel.")] = None,
    psnr: Annotated[float | None, typer.Option(min=0, help="As small as this PSNR in dB allows.")] = None,
    lossless: Annotated[bool, typer.Option("--lossless", help="Keep every pixel as it is.")] = False,
    denoise: Annotated[
        str, typer.Option(help="Remove noise first: off, auto, or its deviation of 255.")
    ] = "off",
    enhance: Annotated[
        bool, typer.Option("--enhance", help="Have artefacts removed on decoding, where that helps.")
    ] = False,
    reduce: Annotated[
        str, typer.Option(help="Code a smaller picture, enlarged on decoding: off, auto, 2, 3 or 4.")
    ] = "off",
    strip: Annotated[str, typer.Option(help="Metadata to leave out: exif,icc,xmp or all.")] = "",
    effort: Annotated[
        int,
        typer.Option(
            "--effort", "-e", min=0, max=9, help="Smaller files; each step up takes twice the time."
        ),
    ] = 0,
    tune: Annotated[
        str | None,
        typer.Option(
            help="Best to the eye (visual) or by PSNR (psnr). Default: visual; psnr with what goes by it."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="An installed model, see `aecodec models`, in place of --tune's.")
    ] = None,
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
    """Compress pictures. OUT is IN with the suffix .aec if it is not given."""
    from codec import AecodecError
    from codec.attempt import DEFAULT_QUALITY, Options
    from codec.picture.reading import READABLE_SUFFIXES

    if sum((lossless, *(option is not None for option in (quality, max_bytes, bpp, psnr)))) > 1:
        raise UsageError("--quality, --lossless, --max-bytes, --bpp, --psnr exclude each other: give one")
    kinds = kinds_of(strip)
    batch = Batch(output_dir, recursive, jobs, dry_run, force, as_json, quiet, resume, cluster)
    how = Compression(
        options=Options(
            quality=DEFAULT_QUALITY if quality is None else quality,
            model=model,
            effort=effort,
            lossless=lossless,
            max_bytes=max_bytes,
            bpp=bpp,
            psnr=psnr,
            denoise=noise_of(denoise),
            enhance=enhance,
            reduce=reduction_of(reduce),
            tune=tune,
        ),
        strip=kinds,
        keep_times=keep_times,
        force=force,
        measure=as_json or not quiet,
    )
    try:
        how.options.check()
    except AecodecError as error:
        raise UsageError(str(error)) from error
    planned = plan(paths, READABLE_SUFFIXES, SUFFIX, batch)
    run(planned, partial(compress_one, how), describe, batch)


def kinds_of(strip: str) -> tuple[str, ...]:
    """The kinds of metadata in a list with commas; raises UsageError for others."""
    kinds = [kind.strip().lower() for kind in strip.split(",") if kind.strip()]
    for kind in kinds:
        if kind not in (*KINDS, "all"):
            raise UsageError(f"--strip {kind}: choose of {', '.join(KINDS)}, all")
    return KINDS if "all" in kinds else tuple(kinds)


def noise_of(text: str) -> float | str | None:
    """What --denoise asks for; raises UsageError."""
    from codec.stages.denoising import LARGEST_SIGMA

    if text in ("off", "auto"):
        return None if text == "off" else text
    try:
        sigma = float(text)
    except ValueError:
        sigma = -1
    if not 0 <= sigma <= LARGEST_SIGMA:
        raise UsageError(f"--denoise {text}: choose off, auto, or a deviation of 0 to {LARGEST_SIGMA:g}")
    return sigma


def reduction_of(text: str) -> int | str:
    """What --reduce asks for; raises UsageError."""
    if text not in ("off", "auto", "2", "3", "4"):
        raise UsageError(f"--reduce {text}: choose off, auto, 2, 3 or 4")
    if text == "auto":
        return text
    return 1 if text == "off" else int(text)


def compress_one(how: Compression, job: Job) -> Record:
    """Compress one picture; what came of it."""
    import codec
    from codec.attempt import compress_picture
    from codec.bitstream import Box
    from codec.model import model_named
    from codec.picture import psnr, strip
    from codec.picture.reading import read_picture

    began = time.perf_counter()
    with concerning(job.source):
        piped = read_bytes(job.source) if job.source == STANDARD else None
        picture = read_picture(job.source if piped is None else io.BytesIO(piped))
        picture = strip(picture, [Box[kind.upper()] for kind in how.strip])
        if how.measure and not how.options.lossless:
            model_named(how.options.model_name).load_ahead("synthesis")
        attempt, data = compress_picture(picture, how.options)
        before = job.source.stat().st_size if piped is None else len(piped)
    write(job.target, data, how.force)
    if how.keep_times:
        keep_times(job.source, job.target)
    seconds, about = time.perf_counter() - began, codec.info(data)
    return {
        "input": str(job.source),
        "output": str(job.target),
        "bytes_before": before,
        "bytes_after": len(data),
        "ratio": before / len(data),
        "bpp": about.bpp,
        "psnr": psnr(picture.pixels, attempt.decoded(data)) if how.measure else None,
        "seconds": seconds,
        "coding": about.coding,
        "quality": about.quality,
        "notes": picture.notes,
        "noise": about.noise,
        "enhanced": about.enhanced,
        "scale": about.scale,
    }


def describe(record: Record) -> str:
    before, after = record["bytes_before"], record["bytes_after"]
    sizes = f"{readable_size(before)} -> {readable_size(after)}, {record['ratio']:.1f}:1"
    decibels = "lossless" if record["psnr"] is None else f"{record['psnr']:.2f} dB"
    figures = [sizes, f"{record['bpp']:.3f} bpp", decibels, f"{record['seconds']:.2f} s"]
    return f"{record['output']}: {', '.join([*figures, *stages_of(record)])}"


def stages_of(record: Record) -> list[str]:
    """What was done besides coding, a phrase each."""
    found = [f"noise of {record['noise']:g} removed"] if record["noise"] else []
    found += ["enhanced"] if record["enhanced"] else []
    return found + ([f"coded at 1/{record['scale']} size"] if record["scale"] > 1 else [])
