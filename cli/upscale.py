"""`aecodec upscale IN OUT`: larger pictures."""

from __future__ import annotations

from functools import partial
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
def upscale(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="IN... [OUT]", parser=path_of, help=f"Pictures. {NAMES}"),
    ],
    *,
    scale: Annotated[int, typer.Option("--scale", "-s", help="2, 3 or 4.")] = 2,
    method: Annotated[str, typer.Option(help="learned, srcnn or bicubic.")] = "learned",
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
    """Enlarge pictures."""
    from aecodec import restoration

    restoration.check_upscaling(scale, method)
    written = PictureOptions(background, jpeg_quality, keep_times, kinds_to_strip(strip))
    batch = Batch(output_dir, recursive, jobs, dry_run, force, as_json, quiet, output=output)
    run_stage(paths, partial(upscaled, scale=scale, method=method), options, written, batch)


def upscaled(picture: Picture, scale: int, method: str) -> tuple[Picture, Record]:
    """The enlarged picture, and its scale for the record."""
    from aecodec import restoration

    return restoration.upscale(picture, scale, method), {"scale": scale}
