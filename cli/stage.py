"""What the commands of the stages share: pictures into pictures."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aecodec.cli.batch import run
from aecodec.cli.files import concerning, read_stream, write
from aecodec.cli.jobs import Batch, Job, Record
from aecodec.cli.naming import pictures, plan
from aecodec.cli.pictures import PictureOptions, check_suffixes, describe, encode

if TYPE_CHECKING:
    from aecodec.options import ReadOptions
    from aecodec.picture import Picture


@dataclass(frozen=True, slots=True)
class Processing:
    """What is done to each picture: a stage gives it, and what the record says of that."""

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
    planned = plan(paths, pictures(pairs=True), ".png", batch)
    check_suffixes(planned)
    run(planned, partial(run_one, Processing(stage, reading, options)), describe, batch)


def run_one(how: Processing, job: Job) -> Record:
    """Run the stage on one picture; what came of it."""
    from aecodec.picture.reading import read_picture

    began = time.perf_counter()
    with concerning(job.source):
        piped = read_stream(job.source)
        source = job.source if piped is None else io.BytesIO(piped)
        picture, done = how.stage(read_picture(source, how.reading))
        before = job.source.stat().st_size if piped is None else len(piped)
        image, data, notes = encode(picture, job.target.suffix or ".png", how.options)
    write(job.target, data, job.force, job.source if how.options.keep_times else None)
    return {
        "input": str(job.source),
        "output": str(job.target),
        "bytes_before": before,
        "bytes_after": len(data),
        "width": image.width,
        "height": image.height,
        "mode": image.mode,
        "seconds": time.perf_counter() - began,
        "notes": notes,
        **done,
    }
