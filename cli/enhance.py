"""`aecodec enhance IN OUT`: pictures without the artefacts of lossy coding."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aecodec.cli.files import path_of
from aecodec.cli.jobs import Batch, Record
from aecodec.cli.options import (
    JPEG_QUALITY,
    NAMES,
    AsJson,
    Background,
    DryRun,
    Force,
    Jobs,
    JpegQuality,
    KeepTimes,
    Output,
    OutputDir,
    Quiet,
    Recursive,
    Strip,
    kinds_to_strip,
    with_options,
)
from aecodec.cli.pictures import PictureOptions
from aecodec.cli.stage import run_stage
from aecodec.options import ReadOptions

if TYPE_CHECKING:
    from aecodec.picture import Picture


@with_options(ReadOptions)
def enhance(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="IN... [OUT]", parser=path_of, help=f"Pictures. {NAMES}"),
    ],
    *,
    options: ReadOptions,
    strip: Strip = None,
    background: Background = None,
    jpeg_quality: JpegQuality = JPEG_QUALITY,
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
    written = PictureOptions(background, jpeg_quality, keep_times, kinds_to_strip(strip))
    batch = Batch(output_dir, recursive, jobs, dry_run, force, as_json, quiet, output=output)
    run_stage(paths, enhanced, options, written, batch)


def enhanced(picture: Picture) -> tuple[Picture, Record]:
    """The picture without artefacts, and whether it may have had any."""
    from aecodec import restoration

    restored = restoration.enhance(picture)
    return restored, {"enhanced": restored.pixels is not picture.pixels}
