"""`aecodec lab run|list|encode|decode|clean`: the networks of tutorials, trained, written, compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aecodec.cli.files import (
    UsageError,
    check_outputs,
    choose_output,
    error_context,
    existing,
    folder_of,
    path_of,
    printable,
    read_bytes,
    write,
)
from aecodec.cli.options import Force, Quiet

if TYPE_CHECKING:
    from aecodec.lab.data import Samples
    from aecodec.lab.run import Report, Settings, Tell

lab = typer.Typer(
    help="Train the networks of tutorials and compare them (needs the extra `lab`).",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Model = Annotated[
    Path,
    typer.Option(
        "--model", "-m", metavar="NAME.safetensors", parser=path_of, help="A model file that `run` wrote."
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", parser=path_of, help="Write this file.")]


def require_lab() -> None:
    """Raises MissingExtraError where the extra is missing."""
    try:
        import safetensors  # noqa: F401
        import sklearn  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        from aecodec import MissingExtraError

        raise MissingExtraError(f"{error}: run pip install 'aecodec[lab]'") from error


@lab.command()
def run(
    out: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", parser=folder_of, help="Folder of models, files and the page."
        ),
    ],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAMES...", help="Networks; all if none.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            parser=existing,
            help="idx file, folder of pictures, CSV or NPY; else scikit-learn's digits.",
        ),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="File of labels; of a CSV file the name or number of a column.")
    ] = None,
    normal: Annotated[str | None, typer.Option(help="Label of normal rows: the others are odd.")] = None,
    max_bytes: Annotated[int, typer.Option(min=16, help="Most bytes of a file, header and all.")] = 48,
    share: Annotated[float, typer.Option(min=0.001, max=100, help="Share of the usual steps.")] = 1.0,
    side: Annotated[int, typer.Option(help="Pixels each way of pictures of a folder.")] = 28,
    quiet: Quiet = False,
) -> None:
    """Train networks and write models, files and one page that compares them; a stopped run is resumed."""
    require_lab()
    from aecodec.lab.data import read_samples
    from aecodec.lab.page import lab_page
    from aecodec.lab.run import Settings, write_record

    samples, settings = read_samples(data, labels, side), Settings(out, share, max_bytes)

    def tell(line: str) -> None:
        if not quiet:
            typer.echo(line, err=True)

    report = report_of(samples, names or [], normal, settings, tell)
    write_record(settings, report)
    page = out / "lab.html"
    page.write_text(lab_page(report), "utf-8")
    tell(f"{printable(page)}: open it in a browser")


def report_of(
    samples: Samples, names: list[str], normal: str | None, settings: Settings, tell: Tell
) -> Report:
    """What networks, all if none is named, make of pictures, or detectors of rows; raises UsageError."""
    from aecodec.lab.catalogue import entries
    from aecodec.lab.run import Report, claim_folder, run_pictures, run_rows

    chosen = entries([name for name in names if name != "unet"])
    if samples.pictures:
        words, everything = not names or "unet" in names, not names
        chosen = chosen if names != ["unet"] else []
        return run_pictures(samples, chosen, settings, tell, words, odd=everything)
    if samples.labels is None or normal is None:
        raise UsageError("rows need --labels and --normal, by which normal ones are known: give both")
    claim_folder(settings, samples)
    report = Report(samples.name, len(samples.values), 0, settings.max_bytes)
    report.detections += run_rows(samples, normal, settings)
    return report


@lab.command("list")
def catalogue() -> None:
    """List the networks."""
    require_lab()
    from aecodec.lab.catalogue import ENTRIES

    for entry in ENTRIES:
        typer.echo(f"{entry.name:14} {entry.says}")
    typer.echo(f"{'unet':14} U-Net that cleans pages of printed words")


@lab.command()
def encode(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", parser=path_of, help="A picture.")],
    model: Model,
    output: Output,
    max_bytes: Annotated[int, typer.Option(min=16, help="Most bytes of the file, header and all.")] = 48,
    force: Force = False,
) -> None:
    """Write the latents of a picture, which is made gray and as large as the model's samples."""
    check_outputs([picture, model], [output])
    target = choose_output(picture, output, force)
    require_lab()
    from aecodec.lab import training
    from aecodec.lab.data import read_picture

    trained = training.read_model(model)
    samples = read_picture(picture, *trained.network.shape)[None]
    data = trained.coder.encode(training.encode(trained.network, samples)[0], max_bytes)
    write(target, data, force)
    typer.echo(f"{printable(target)}: {len(data)} bytes", err=True)


@lab.command()
def decode(
    file: Annotated[Path, typer.Argument(metavar="FILE.ael", parser=path_of, help="What `encode` wrote.")],
    model: Model,
    output: Output,
    force: Force = False,
) -> None:
    """Decode a file of latents into a gray picture."""
    check_outputs([file, model], [output])
    target = choose_output(file, output, force)
    require_lab()
    from aecodec.lab import training

    trained = training.read_model(model)
    with error_context(file):
        latents = trained.coder.decode(read_bytes(file))
    write(target, gray_png(training.decode(trained.network, latents[None])[0]), force)


@lab.command()
def clean(
    picture: Annotated[Path, typer.Argument(metavar="PAGE", parser=path_of, help="A page of printed words.")],
    model: Model,
    output: Output,
    force: Force = False,
) -> None:
    """Clean a page of printed words, of any size, of lines, stains and noise."""
    check_outputs([picture, model], [output])
    target = choose_output(picture, output, force)
    require_lab()
    from aecodec.lab import unet
    from aecodec.lab.data import read_page

    write(target, gray_png(unet.clean(unet.read_cleaning(model), read_page(picture))), force)


def gray_png(pixels: Any) -> bytes:
    """Pixels (H, W) in [0, 1] as a PNG."""
    import io

    import numpy as np
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()
