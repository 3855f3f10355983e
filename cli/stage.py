"""The part that the commands of the stages share: they turn pictures into pictures."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aecodec.cli.batch import run
from aecodec.cli.files import error_context, is_stream, picture_in, read_bytes, write
from aecodec.cli.jobs import Batch, Job, Record
from aecodec.cli.naming import PICTURES_TO_PICTURES, plan
from aecodec.cli.pictures import PictureOptions, check_suffixes, describe, encode

if TYPE_CHECKING:
    from aecodec.options import ReadOptions
    from aecodec.picture import Picture


@dataclass(frozen=True, slots=True)
class Processing:
    """Settings for each picture. `stage` returns the new picture and its entries of the record."""

    stage: Callable[[Picture], tuple[Picture, Record]]
    reading: ReadOptions
    options: PictureOptions


def run_stage(
    paths: list[Path],
    stage: Callable[[Picture], tuple[Picture, Record]],
    reading: ReadOptions,
    options: PictureOptions,
    batch: Batch,
) -> None:
    """Run a stage on IN... and write OUT; raises UsageError."""
    planned_jobs = plan(paths, PICTURES_TO_PICTURES, ".png", batch)
    check_suffixes(planned_jobs)
    run(planned_jobs, partial(run_one, Processing(stage, reading, options)), describe, batch)


def run_one(settings: Processing, job: Job) -> Record:
    """Run the stage on one picture; returns its record."""
    from aecodec.picture.reading import read_picture

    started = time.perf_counter()
    with error_context(job.source):
        piped = read_bytes(job.source, picture_in) if is_stream(job.source) else None
        source = job.source if piped is None else io.BytesIO(piped)
        picture, stage_record = settings.stage(read_picture(source, settings.reading))
        before = job.source.stat().st_size if piped is None else len(piped)
        image, data, notes = encode(picture, job.target.suffix or ".png", settings.options)
    write(job.target, data, job.force, job.source if settings.options.keep_times else None)
    return {
        "input": str(job.source),
        "output": str(job.target),
        "bytes_before": before,
        "bytes_after": len(data),
        "width": image.width,
        "height": image.height,
        "mode": image.mode,
        "seconds": time.perf_counter() - started,
        "notes": notes,
        **stage_record,
    }
