"""`aecodec lab run|list|encode|decode|clean`: the networks of tutorials, trained, written, compared."""

from __future__ import annotations

import io
from contextlib import nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from aecodec.cli.files import (
    UsageError,
    check_outputs,
    choose_output,
    error_context,
    existing,
    folder_of,
    path_of,
    picture_in,
    printable,
    read_bytes,
    write,
)
from aecodec.cli.options import Force, Quiet
from aecodec.cli.pictures import check_suffix

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
    max_bytes: Annotated[
        int | None, typer.Option(min=16, help="Most bytes of a file, header and all. Default: 48.")
    ] = None,
    share: Annotated[float, typer.Option(min=0.001, max=100, help="Share of the usual steps.")] = 1.0,
    side: Annotated[
        int | None,
        typer.Option(min=4, max=128, help="Pixels each way of pictures of a folder. Default: 28."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Train networks and write models, files and one page that compares them; a stopped run is resumed."""
    require_lab()
    from aecodec.lab.figures import MAX_BYTES
    from aecodec.lab.page import lab_page
    from aecodec.lab.run import Settings, without_bars, write_record

    check_names(names or [])
    samples = samples_of(data, labels, normal, side, names, max_bytes)
    settings = Settings(out, share, max_bytes or MAX_BYTES)

    def tell(line: str) -> None:
        if not quiet:
            typer.echo(line, err=True)

    if samples.says:
        tell(f"{samples.name}: {samples.says}")
    with without_bars() if quiet else nullcontext():
        report = report_of(samples, names or [], normal, settings, tell)
    write_record(settings, report)
    page = out / "lab.html"
    page.write_text(lab_page(report), "utf-8", "backslashreplace")
    tell(f"{printable(page)}: open it in a browser")


def check_names(names: list[str]) -> None:
    """Raise UsageError for a name that no network has."""
    from aecodec.lab.catalogue import ENTRIES
    from aecodec.lab.unet import NAME

    known = [*(entry.name for entry in ENTRIES), NAME]
    for name in names:
        if name not in known:
            raise UsageError(f"{name!r} is not in the catalogue: choose of {', '.join(known)}")


def samples_of(
    data: Path | None,
    labels: str | None,
    normal: str | None,
    side: int | None,
    names: list[str] | None,
    max_bytes: int | None,
) -> Samples:
    """The samples to learn from; raises UsageError for options that would do nothing with them."""
    from aecodec.lab.data import SIDE, read_samples

    if data is None:
        check_used("scikit-learn's digits", {"--labels": labels, "--normal": normal, "--side": side})
    elif not data.is_dir():
        check_used("a file", {"--side": side})
    samples = read_samples(data, labels, side or SIDE)
    if samples.pictures:
        check_used("pictures", {"--normal": normal})
    else:
        check_used("rows", {"names of networks": names, "--max-bytes": max_bytes})
    return samples


def check_used(data: str, options: dict[str, object]) -> None:
    """Raise UsageError if any of some options is given."""
    if unused := [name for name, value in options.items() if value not in (None, [])]:
        raise UsageError(f"with {data}, {' and '.join(unused)} would do nothing: leave that out")


def report_of(
    samples: Samples, names: list[str], normal: str | None, settings: Settings, tell: Tell
) -> Report:
    """What networks, all if none is named, make of pictures, or detectors of rows; raises UsageError."""
    from aecodec.lab.catalogue import entries
    from aecodec.lab.run import Report, claim_folder, run_pictures, run_rows
    from aecodec.lab.unet import NAME

    if samples.pictures:
        others = [name for name in names if name != NAME]
        chosen = entries(others) if others or not names else []
        words, everything = not names or NAME in names, not names
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
    with error_context(picture):
        samples = read_picture(opened(picture), *trained.network.shape)[None]
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
    check_suffix(target)
    require_lab()
    from aecodec.lab import training

    trained = training.read_model(model)
    with error_context(file):
        latents = trained.coder.decode(read_bytes(file))
    write(target, gray_file(training.decode(trained.network, latents[None])[0], target), force)


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
    check_suffix(target)
    require_lab()
    from aecodec.lab import unet
    from aecodec.lab.data import read_page

    network = unet.read_cleaning(model)
    with error_context(picture):
        page = read_page(opened(picture))
    write(target, gray_file(unet.clean(network, page), target), force)


def opened(picture: Path) -> IO[bytes]:
    """The bytes of a picture, of the standard input too; raises AecodecError."""
    return io.BytesIO(read_bytes(picture, picture_in))


def gray_file(pixels: Any, target: Path) -> bytes:
    """Pixels (H, W) in [0, 1] as a file of the format of the target's suffix, or PNG; raises ImageError."""
    import numpy as np
    from PIL import Image

    from aecodec.picture.writing import FORMATS, encode_image

    image = Image.fromarray(np.rint(pixels.clip(0, 1) * 255).astype(np.uint8))
    return encode_image(image, FORMATS.get(target.suffix.lower(), "PNG"))
