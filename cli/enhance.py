"""`aecodec enhance IN OUT`: pictures without the artefacts of lossy coding."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.batch import Batch
from cli.options import AsJson, DryRun, Force, Jobs, KeepTimes, OutputDir, Quiet, Recursive
from cli.stage import run_stage


def enhance(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="IN... OUT", help="Pictures, of two the second is OUT; or see --output-dir."),
    ],
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

    batch = Batch(output_dir, recursive, jobs, dry_run, force, as_json, quiet)
    run_stage(paths, stages.enhance, keep_times, batch)
