"""`aecodec denoise IN OUT`: pictures without noise."""

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
def denoise(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="IN... [OUT]", parser=path_of, help=f"Pictures. {NAMES}"),
    ],
    *,
    sigma: Annotated[
        float | None,
        typer.Option(help="Deviation of the noise, 0 to 60 of 255. Measured if not given."),
    ] = None,
    method: Annotated[str, typer.Option(help="learned, or nlm: non-local means.")] = "learned",
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
    """Remove noise from pictures."""
    from aecodec import restoration

    restoration.check_denoising(sigma, method)
    written = PictureOptions(background, jpeg_quality, keep_times, kinds_to_strip(strip))
    batch = Batch(output_dir, recursive, jobs, dry_run, force, as_json, quiet, output=output)
    run_stage(paths, partial(denoised, sigma=sigma, method=method), options, written, batch)


def denoised(picture: Picture, sigma: float | None, method: str) -> tuple[Picture, Record]:
    """The picture without noise, and the standard deviation of the noise that was removed, 0 for none."""
    from aecodec.restoration.denoising import denoise_measured

    restored, removed = denoise_measured(picture, sigma, method)
    return restored, {"noise": removed}
