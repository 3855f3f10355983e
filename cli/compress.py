"""`aecodec compress IN... [OUT]`: pictures into files."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from aecodec.cli.batch import run
from aecodec.cli.files import (
    SUFFIX,
    UsageError,
    error_context,
    is_stream,
    path_of,
    picture_in,
    read_bytes,
    readable_size,
    write,
)
from aecodec.cli.jobs import Batch, Job, Record
from aecodec.cli.naming import PICTURES, plan
from aecodec.cli.options import (
    NAMES,
    AsJson,
    Cluster,
    DryRun,
    Force,
    Jobs,
    KeepTimes,
    Output,
    OutputDir,
    Quiet,
    Recursive,
    with_options,
)
from aecodec.encoder.options import CompressOptions

if TYPE_CHECKING:
    from aecodec import Encoded
    from aecodec.picture import Picture


@dataclass(frozen=True, slots=True)
class Compression:
    """What is done to each picture."""

    options: CompressOptions
    keep_times: bool
    measure: bool  # decode again for the PSNR
    verify: bool  # what was written
    skip_larger: bool
    exact_psnr: bool  # of all of a picture, however large it is
    resume: bool  # outputs that exist may be of other commands, not of a worker that died


@with_options(CompressOptions)
def compress(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN... [OUT]",
            parser=path_of,
            help=f"PNG, JPEG, WebP, AVIF, TIFF, BMP, GIF, HEIC, JPEG XL; - is a pipe. {NAMES}",
        ),
    ],
    options: CompressOptions,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read the file back and decode it before it gets its name.")
    ] = False,
    skip_larger: Annotated[
        bool,
        typer.Option("--skip-larger", help="Write nothing where the file is not smaller than the picture."),
    ] = False,
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
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Leave outputs that say they were made so, make the others. They do not tell --effort.",
        ),
    ] = False,
    cluster: Cluster = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compress pictures. OUT is IN with the suffix .aec if it is not given."""
    batch = Batch(output_dir, recursive, jobs, dry_run, force, as_json, quiet, resume, cluster, output)
    settings = Compression(
        options,
        keep_times=keep_times,
        measure=as_json or not quiet,
        verify=verify,
        skip_larger=skip_larger,
        exact_psnr=exact_psnr,
        resume=resume,
    )
    planned_jobs = plan(paths, PICTURES, SUFFIX, batch)
    if (verify or skip_larger) and any(is_stream(job.target) for job in planned_jobs):
        raise UsageError("--verify and --skip-larger need an output that is a file: name one")
    run(planned_jobs, partial(compress_one, settings), describe, batch, partial(is_made, settings))


def is_made(settings: Compression, job: Job) -> bool:
    """Whether an existing output was made with these options; raises AecodecError if it is another's file."""
    from aecodec.cli.resume import was_compressed_with

    with error_context(job.source):
        picture = picture_at(job.source, settings.options)
    return was_compressed_with(job.target, picture, settings.options, same_command=not settings.resume)


def picture_at(source: Path | IO[bytes], options: CompressOptions) -> Picture:
    """The picture of a file as it is to be compressed; raises ImageError."""
    from aecodec.picture.reading import read_picture
    from aecodec.picture.stripping import strip

    picture = read_picture(source, options)
    return strip(picture, options.strip) if options.strip else picture


def compress_one(settings: Compression, job: Job) -> Record:
    """Compress one picture; returns its record."""
    from aecodec.cli.verification import verify
    from aecodec.encoder.encoder import encode

    started, options = time.perf_counter(), settings.options
    with error_context(job.source):
        piped = read_bytes(job.source, picture_in) if is_stream(job.source) else None
        picture = picture_at(job.source if piped is None else io.BytesIO(piped), options)
        encoded = encode(picture, options, settings.measure)
        before = job.source.stat().st_size if piped is None else len(piped)
    record: Record = {"input": str(job.source), "output": str(job.target)}
    if settings.skip_larger and len(encoded.data) >= before:
        sizes = f"{readable_size(before)} -> {readable_size(len(encoded.data))}"
        note = f"not written, as it would not be smaller: {sizes}"
        return {**record, "notes": (*picture.notes, note)}
    check = partial(verify, encoded=encoded) if settings.verify else None
    write(job.target, encoded.data, job.force, job.source if settings.keep_times else None, check)
    record["seconds"] = time.perf_counter() - started
    return {**record, **record_of(encoded, before, settings), "notes": picture.notes}


def record_of(encoded: Encoded, before: int, settings: Compression) -> Record:
    """The figures of a file that was made of one of `before` bytes."""
    container = encoded.container
    learned, stages = container.learned, container.stages
    fidelity = encoded.fidelity(settings.exact_psnr) if settings.measure and learned else None
    return {
        "bytes_before": before,
        "bytes_after": len(encoded.data),
        "ratio": before / len(encoded.data),
        "bpp": 8 * len(encoded.data) / (container.width * container.height),
        "psnr": fidelity.psnr if fidelity and fidelity.psnr < inf else None,
        "psnr_sampled": fidelity.sampled if fidelity else False,
        "coding": "learned" if learned else "lossless",
        "quality": learned.quality if learned else None,
        "noise": stages.noise / 4,
        "enhanced": bool(stages.enhance),
        "scale": stages.scale,
    }


def describe(record: Record) -> str:
    before, after = record["bytes_before"], record["bytes_after"]
    sizes = f"{readable_size(before)} -> {readable_size(after)}, {record['ratio']:.1f}:1"
    decibels = "lossless" if record["psnr"] is None else f"{record['psnr']:.2f} dB"
    if record["psnr_sampled"]:
        decibels = f"about {record['psnr']:.1f} dB"
    if record["noise"]:
        decibels += " after denoising"  # as that is the picture which was coded
    figures = [sizes, f"{record['bpp']:.3f} bpp", decibels, f"{record['seconds']:.2f} s"]
    if record["noise"] or record["enhanced"] or record["scale"] > 1:
        figures += stage_phrases(record)
    return f"{record['output']}: {', '.join(figures)}"


def stage_phrases(record: Record) -> list[str]:
    """A phrase for each stage that was applied besides coding."""
    phrases = [f"noise of {record['noise']:g} removed"] if record["noise"] else []
    phrases += ["enhanced"] if record["enhanced"] else []
    return phrases + ([f"coded at 1/{record['scale']} size"] if record["scale"] > 1 else [])
