"""`aecodec denoise IN OUT`: pictures without noise."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cli.batch import Batch
from cli.options import AsJson, DryRun, Force, Jobs, KeepTimes, OutputDir, Quiet, Recursive
from cli.stage import run_stage


def denoise(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="IN... OUT", help="Pictures, of two the second is OUT; or see --output-dir."),
    ],
    sigma: Annotated[
        float | None,
        typer.Option(help="Deviation of the noise, 0 to 60 of 255. Measured if not given."),
    ] = None,
    method: Annotated[str, typer.Option(help="learned, or nlm: non-local means.")] = "learned",
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
    batch = Batch(output_dir, recursive, jobs, dry_run, force, as_json, quiet)
    run_stage(paths, partial(stages.denoise, sigma=sigma, method=method), keep_times, batch)
