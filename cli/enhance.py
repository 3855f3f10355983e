"""`aecodec enhance IN OUT`: pictures without the artefacts of lossy coding."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.files import path_of
from cli.jobs import Batch
from cli.options import (
    NAMES,
    AsJson,
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
    Tolerant,
    read_options,
)
from cli.stage import run_stage


def enhance(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="IN... [OUT]", parser=path_of, help=f"Pictures. {NAMES}"),
    ],
    depth: Depth = None,
    frame: Frame = None,
    tolerant: Tolerant = False,
    max_pixels: MaxPixels = None,
    output: Output = None,
    output_dir: OutputDir = None,
    recursive: Recursive = False,
    jobs: Jobs = 1,
    dry_run: DryRun = False,
    keep_times: KeepTimes = False,
    force: Force = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Remove artefacts of JPEG, or of our own coding, from pictures."""
    from codec import stages

    batch = Batch(output_dir, recursive, jobs, dry_run, force, as_json, quiet, output=output)
    reading = read_options(depth, frame, tolerant, max_pixels)
    run_stage(paths, stages.enhance, reading, keep_times, batch)
