"""What the commands of the stages share: pictures into pictures."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cli.batch import run
from cli.files import UsageError, concerning, read_stream, readable_size, write
from cli.jobs import Batch, Job, Record
from cli.naming import pictures, plan

if TYPE_CHECKING:
    from codec.picture import Picture
    from codec.picture.reading import ReadOptions


@dataclass(frozen=True, slots=True)
class Processing:
    """What is done to each picture."""

    stage: Callable[[Picture], Picture]
    reading: ReadOptions
    keep_times: bool


def run_stage(
    paths: list[Path],
    stage: Callable[[Picture], Picture],
    reading: ReadOptions,
    keep_times: bool,
    batch: Batch,
) -> None:
    """Run a stage on IN... and write OUT; raises UsageError."""
    from codec.picture.writing import FORMATS

    planned = plan(paths, pictures(pairs=True), ".png", batch)
    for job in planned:
        if not job.refusal and job.target.suffix.lower() not in ("", *FORMATS):
            raise UsageError(f"{job.target}: unknown suffix: choose of {' '.join(FORMATS)}")
    run(planned, partial(run_one, Processing(stage, reading, keep_times)), describe, batch)


def run_one(how: Processing, job: Job) -> Record:
    """Run the stage on one picture; what came of it."""
    from codec.picture.reading import read_picture
    from codec.picture.writing import encode_image, format_for, notes_of_writing, to_pillow

    began = time.perf_counter()
    named = Path(f"out{job.target.suffix or '.png'}")
    with concerning(job.source):
        piped = read_stream(job.source)
        picture = read_picture(job.source if piped is None else io.BytesIO(piped), how.reading)
        image = to_pillow(how.stage(picture))
        notes = (*picture.notes, *notes_of_writing(image, format_for(named)))
        before = job.source.stat().st_size if piped is None else len(piped)
        data = encode_image(image, format_for(named))
    write(job.target, data, job.force, job.source if how.keep_times else None)
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
    }


def describe(record: Record) -> str:
    sizes = f"{readable_size(record['bytes_before'])} -> {readable_size(record['bytes_after'])}"
    shape = f"{record['width']}x{record['height']} {record['mode']}"
    return f"{record['output']}: {sizes}, {shape}, {record['seconds']:.2f} s"
