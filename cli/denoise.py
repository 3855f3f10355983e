"""`aecodec denoise IN OUT`: pictures without noise."""

from __future__ import annotations

from functools import partial
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


def denoise(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="IN... [OUT]", parser=path_of, help=f"Pictures. {NAMES}"),
    ],
    sigma: Annotated[
        float | None,
        typer.Option(help="Deviation of the noise, 0 to 60 of 255. Measured if not given."),
    ] = None,
    method: Annotated[str, typer.Option(help="learned, or nlm: non-local means.")] = "learned",
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
    """Remove noise from pictures."""
    from codec import stages

    stages.check_denoising(sigma, method)
    batch = Batch(output_dir, recursive, jobs, dry_run, force, as_json, quiet, output=output)
    reading = read_options(depth, frame, tolerant, max_pixels)
    run_stage(paths, partial(stages.denoise, sigma=sigma, method=method), reading, keep_times, batch)
