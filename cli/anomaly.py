"""`aecodec anomaly fit|score|eval`: what is odd in pictures, by good ones alone."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aecodec.cli.collection import collect
from aecodec.cli.files import (
    STANDARD_STREAM,
    UsageError,
    check_folder,
    check_outputs,
    choose_output,
    error_context,
    folder_of,
    path_of,
    printable,
    read_bytes,
    write,
)
from aecodec.cli.naming import PICTURES, same_folder
from aecodec.cli.options import AsJson, Force, Quiet
from aecodec.cli.progress import Bar

if TYPE_CHECKING:
    from aecodec.uses.anomaly import Detector, Finding

anomaly = typer.Typer(
    help="Find what is odd in pictures, knowing good ones alone.", no_args_is_help=True, rich_markup_mode=None
)

Model = Annotated[
    Path, typer.Option("--model", "-m", metavar="PART.aea", parser=path_of, help="What `fit` wrote.")
]


@anomaly.command()
def fit(
    good: Annotated[
        list[Path], typer.Argument(metavar="GOOD...", parser=path_of, help="Good pictures, or folders.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PART.aea", parser=path_of, help="Write this file.")
    ],
    fpr: Annotated[float, typer.Option(help="Share of good pictures that may be called odd.")] = 0.01,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Learn what good pictures look like. At least two, better a hundred, of any sizes."""
    files = collect(good, [PICTURES])
    check_outputs(files, [output])
    target = choose_output(files[0], output, force)
    from aecodec.uses import anomaly as library
    from aecodec.uses.detector_file import to_bytes

    require_share(fpr)
    bar = Bar(quiet)
    try:
        detector = library.fit(files, fpr, lambda done, of: bar.show("analysing", done, of))
    finally:
        bar.clear()
    write(target, to_bytes(detector), force)
    if not quiet:
        few = detector.held_out < 1 / fpr - 1
        note = f", extrapolated, as there are fewer than {1 / fpr:.0f}" if few else ""
        typer.echo(
            f"{printable(target)}: {len(files)} good pictures, "
            f"threshold for false positives of {fpr:g}{note}",
            err=True,
        )


@anomaly.command()
def score(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PICTURES...", parser=path_of, help="Pictures, or folders.")
    ],
    model: Model,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print results as CSV on stdout.")] = False,
    heat_maps: Annotated[
        Path | None,
        typer.Option(metavar="DIR", parser=folder_of, help="Write a gray PNG of each: 128 and more is odd."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="PAGE.html", parser=path_of, help="Write a page, the worst first."),
    ] = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Say how odd pictures are: 1 and more is odd. A picture that cannot be read makes the exit code 1."""
    if as_json and as_csv:
        raise UsageError("--json and --csv both go to stdout: give one")
    files = collect(paths, [PICTURES])
    maps = maps_of(files, heat_maps, force) if heat_maps else {}
    check_outputs([*files, model], [STANDARD_STREAM, *maps.values(), *([html] if html else [])])
    create = html is not None and heat_maps is not None and same_folder(html.parent, heat_maps)
    page = choose_output(files[0], html, force, create) if html else None
    detector = read_detector(model)
    rows, cards, failures, bar = [], [], 0, Bar(quiet)
    if as_csv:
        typer.echo("input,score,odd")
    for number, file in enumerate(files):
        bar.show("scoring", number, len(files))
        finding = attempt(detector, file, as_json, bar)
        if finding is None:
            failures += 1
            continue
        bar.clear()
        row = {"input": str(file), "score": finding.score, "odd": finding.odd}
        rows.append(row)
        tell(row, as_json, as_csv)
        if file in maps:
            write(maps[file], heat_png(finding), force)
        if page:
            cards.append(card_of(file, finding))
    bar.clear()
    if page:
        from aecodec.uses.pages import findings_page

        write(page, findings_page(cards).encode(), force)
    if not quiet:
        odd = sum(bool(row["odd"]) for row in rows)
        failed = f", {failures} failed" if failures else ""
        typer.echo(f"{odd} of {len(rows)} pictures are odd{failed}", err=True)
    if failures:
        raise typer.Exit(1)


@anomaly.command("eval")
def evaluate(
    good: Annotated[Path, typer.Argument(metavar="GOOD", parser=path_of, help="Folder of good pictures.")],
    bad: Annotated[Path, typer.Argument(metavar="BAD", parser=path_of, help="Folder of bad ones.")],
    model: Model,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON, in a line.")] = False,
) -> None:
    """Measure how well a model separates bad pictures from good ones, other than those fitted on."""
    files = [collect([path], [PICTURES]) for path in (good, bad)]
    from aecodec.uses import anomaly as library

    evaluation = library.evaluate(read_detector(model), *files)
    if as_json:
        typer.echo(json.dumps(asdict(evaluation)))
        return
    typer.echo(f"AUROC {evaluation.auroc:.4f}")
    typer.echo(f"false positives {evaluation.false_positives:.4f} of {evaluation.good} good pictures")
    typer.echo(f"found {evaluation.found:.4f} of {evaluation.bad} bad pictures")


def require_share(fpr: float) -> None:
    """Raise UsageError for a share of good pictures that cannot be."""
    from aecodec import AecodecError
    from aecodec.uses.anomaly import check_fpr

    try:
        check_fpr(fpr)
    except AecodecError as error:
        raise UsageError(f"--{error}") from error


def read_detector(path: Path) -> Detector:
    """The detector in a file; raises AecodecError."""
    from aecodec.uses.detector_file import from_bytes

    with error_context(path):
        return from_bytes(read_bytes(path))


def attempt(detector: Detector, file: Path, as_json: bool, bar: Bar) -> Finding | None:
    """The finding of a picture; None, and a line on stderr, where the picture cannot be read."""
    from aecodec import AecodecError

    try:
        return detector.score(file)
    except AecodecError as error:
        bar.clear()
        typer.echo(f"aecodec: {error}", err=True)
        if as_json:
            typer.echo(json.dumps({"input": str(file), "error": str(error)}))
        return None


def tell(row: dict[str, Any], as_json: bool, as_csv: bool) -> None:
    """Print a result."""
    name = printable(Path(row["input"]))
    if as_json:
        typer.echo(json.dumps(row))
    elif as_csv:
        import csv

        csv.writer(sys.stdout, lineterminator="\n").writerow([name, f"{row['score']:.4f}", int(row["odd"])])
    else:
        typer.echo(f"{row['score']:.3f} {'odd ' if row['odd'] else 'good'} {name}")


def maps_of(files: list[Path], folder: Path, force: bool) -> dict[Path, Path]:
    """Where the heat map of each picture goes; raises UsageError where two would have one name."""
    check_folder(folder, create=True)
    targets = {file: choose_output(file, folder / f"{file.stem}.png", force, create=True) for file in files}
    if len(set(targets.values())) < len(files):
        raise UsageError(f"--heat-maps {folder}: two pictures have one name: score them apart")
    return targets


def heat_png(finding: Finding) -> bytes:
    """The heat map as a gray PNG, 128 at the threshold and 255 at twice that."""
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(finding.levels()).save(file, "PNG")
    return file.getvalue()


def card_of(file: Path, finding: Finding) -> Any:
    """A picture with its heat map, small, for the page."""
    from aecodec.uses.pages import Card

    return Card.of(file, printable(file), finding)
