"""`aecodec compress IN... [OUT]`: pictures into files."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aecodec.cli.batch import run
from aecodec.cli.files import (
    STANDARD,
    SUFFIX,
    UsageError,
    concerning,
    is_stream,
    path_of,
    read_stream,
    readable_size,
    write,
)
from aecodec.cli.jobs import Batch, Job, Record
from aecodec.cli.naming import pictures, plan
from aecodec.cli.options import (
    NAMES,
    AsJson,
    Cluster,
    Depth,
    DryRun,
    Force,
    Frame,
    Jobs,
    KeepTimes,
    MaxPixels,
    Output,
    OutputDir,
    Quiet,
    Recursive,
    Resume,
    Strip,
    Tolerant,
    bytes_of,
    kinds_to_strip,
    read_options,
)

if TYPE_CHECKING:
    from aecodec.attempt import Options
    from aecodec.picture.reading import ReadOptions


@dataclass(frozen=True, slots=True)
class Compression:
    """What is done to each picture."""

    options: Options
    reading: ReadOptions
    strip: tuple[str, ...]
    keep_times: bool
    measure: bool  # decode again for the PSNR
    verify: bool  # what was written
    skip_larger: bool
    exact: bool  # all of it, however large it is


def compress(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN... [OUT]",
            parser=path_of,
            help=f"PNG, JPEG, WebP, AVIF, TIFF, BMP, GIF, HEIC; - is a pipe. {NAMES}",
        ),
    ],
    quality: Annotated[
        float | None,
        typer.Option("--quality", "-q", min=0, max=100, help="Higher is better and larger. Default: 50."),
    ] = None,
    max_bytes: Annotated[
        int | None,
        typer.Option(metavar="BYTES", parser=bytes_of, help="As good as fits these bytes, as 20k or 1.5M."),
    ] = None,
    bpp: Annotated[float | None, typer.Option(min=0, help="As good as fits these bits a pixel.")] = None,
    psnr: Annotated[float | None, typer.Option(min=0, help="As small as this PSNR in dB allows.")] = None,
    lossless: Annotated[
        bool, typer.Option("--lossless", help="Keep every pixel as it is, invisible ones too.")
    ] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Keep the colours of invisible pixels.")] = False,
    denoise: Annotated[
        str, typer.Option(help="Remove noise first: off, auto, or its deviation of 255.")
    ] = "off",
    enhance: Annotated[
        bool, typer.Option("--enhance", help="Have artefacts removed on decoding, where that helps.")
    ] = False,
    reduce: Annotated[
        str, typer.Option(help="Code a smaller picture, enlarged on decoding: off, auto, 2, 3 or 4.")
    ] = "off",
    strip: Strip = None,
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
    verify: Annotated[
        bool, typer.Option("--verify", help="Read the file back and decode it before it gets its name.")
    ] = False,
    skip_larger: Annotated[
        bool,
        typer.Option("--skip-larger", help="Write nothing where the file is not smaller than the picture."),
    ] = False,
    depth: Depth = None,
    frame: Frame = None,
    tolerant: Tolerant = False,
    max_pixels: MaxPixels = None,
    output: Output = None,
    exact_psnr: Annotated[
        bool, typer.Option("--exact-psnr", help="Measure large pictures whole, not by a sample.")
    ] = False,
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
    from aecodec import AecodecError
    from aecodec.attempt import DEFAULT_QUALITY, Options

    if sum((lossless, *(option is not None for option in (quality, max_bytes, bpp, psnr)))) > 1:
        raise UsageError("--quality, --lossless, --max-bytes, --bpp, --psnr exclude each other: give one")
    kinds = kinds_to_strip(strip)
    batch = Batch(output_dir, recursive, jobs, dry_run, force, as_json, quiet, resume, cluster, output)
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
            exact=exact,
        ),
        reading=read_options(depth, frame, tolerant, max_pixels),
        strip=kinds,
        keep_times=keep_times,
        measure=as_json or not quiet,
        verify=verify,
        skip_larger=skip_larger,
        exact=exact_psnr,
    )
    try:
        how.options.check()
    except AecodecError as error:
        raise UsageError(str(error)) from error
    planned = plan(paths, pictures(), SUFFIX, batch)
    if (verify or skip_larger) and any(job.target == STANDARD or is_stream(job.target) for job in planned):
        raise UsageError("--verify and --skip-larger need an output that is a file: name one")
    run(planned, partial(compress_one, how), describe, batch, partial(is_made, how))


def noise_of(text: str) -> float | str | None:
    """What --denoise asks for; raises UsageError."""
    from aecodec.stages.denoising import LARGEST_SIGMA

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


def is_made(how: Compression, job: Job) -> bool:
    """Whether an output that exists was made so; raises AecodecError where it must stay and is not ours."""
    from aecodec.cli.resume import compressed_so

    return compressed_so(job.target, how.options, how.strip)


def compress_one(how: Compression, job: Job) -> Record:
    """Compress one picture; what came of it."""
    import aecodec
    from aecodec.attempt import compress_picture
    from aecodec.bitstream import ANY_SIZE, QUALITY_UNITS
    from aecodec.cli.verification import verify
    from aecodec.model import model_named
    from aecodec.picture.reading import read_picture
    from aecodec.picture.stripping import strip
    from aecodec.pipeline import CELL, CORE

    began = time.perf_counter()
    with concerning(job.source):
        piped = read_stream(job.source)
        picture = read_picture(job.source if piped is None else io.BytesIO(piped), how.reading)
        picture = strip(picture, how.strip)
        learned = not how.options.lossless and not how.options.searches
        if how.measure and learned and picture.pixels.size <= 3 * (CORE * CELL) ** 2:  # one tile
            quality = round(how.options.quality * QUALITY_UNITS) / QUALITY_UNITS
            model_named(how.options.model_name).load_ahead(quality, "synthesis")
        attempt, data = compress_picture(picture, how.options, how.reading.max_pixels)
        before = job.source.stat().st_size if piped is None else len(piped)
    if how.skip_larger and len(data) >= before:
        sizes = f"{readable_size(before)} -> {readable_size(len(data))}"
        note = f"not written, as it would not be smaller: {sizes}"
        return {"input": str(job.source), "output": str(job.target), "notes": (*picture.notes, note)}
    check = partial(verify, data=data, attempt=attempt) if how.verify else None
    write(job.target, data, job.force, job.source if how.keep_times else None, check)
    seconds, about = time.perf_counter() - began, aecodec.info(data, max_pixels=ANY_SIZE)
    fidelity = attempt.fidelity(data, how.exact) if how.measure and about.coding == "learned" else None
    return {
        "input": str(job.source),
        "output": str(job.target),
        "bytes_before": before,
        "bytes_after": len(data),
        "ratio": before / len(data),
        "bpp": about.bpp,
        "psnr": fidelity.psnr if fidelity and fidelity.psnr < inf else None,
        "psnr_sampled": fidelity.sampled if fidelity else False,
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
    if record["psnr_sampled"]:
        decibels = f"about {record['psnr']:.1f} dB"
    figures = [sizes, f"{record['bpp']:.3f} bpp", decibels, f"{record['seconds']:.2f} s"]
    return f"{record['output']}: {', '.join([*figures, *stages_of(record)])}"


def stages_of(record: Record) -> list[str]:
    """What was done besides coding, a phrase each."""
    found = [f"noise of {record['noise']:g} removed"] if record["noise"] else []
    found += ["enhanced"] if record["enhanced"] else []
    return found + ([f"coded at 1/{record['scale']} size"] if record["scale"] > 1 else [])
