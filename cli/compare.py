"""`aecodec compare PHOTO...`: ours beside other codecs at equal bytes, in one page."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aecodec.cli.benchmark import require_benchmarks
from aecodec.cli.files import (
    STANDARD_STREAM,
    UsageError,
    check_outputs,
    choose_output,
    error_context,
    is_stream,
    path_of,
    picture_in,
    printable,
    read_bytes,
    readable_size,
    write,
)
from aecodec.cli.options import Force, Quiet, with_options
from aecodec.encoder.options import CompressOptions

if TYPE_CHECKING:
    from aecodec.benchmarks.comparison import Comparison

PAGE = Path("compare.html")
OURS = ("quality", "max_bytes", "bpp", "effort", "tune", "depth", "frame", "tolerant", "max_pixels")


@with_options(CompressOptions, only=OURS)
def compare(
    paths: Annotated[list[Path], typer.Argument(metavar="PHOTO...", parser=path_of, help="Pictures.")],
    *,
    options: CompressOptions,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PAGE",
            parser=path_of,
            help="The page; - is a pipe. Default: compare.html.",
        ),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """See ours beside JPEG, WebP, AVIF and JPEG XL at equal bytes, in a page that works from disk."""
    if (options.quality is not None) + len(options.targets) > 1:
        raise UsageError("--quality, --max-bytes and --bpp exclude each other: give one")
    if open_page and output == STANDARD_STREAM:
        raise UsageError("--open needs a page that is a file: name one with -o")
    check_outputs(paths, [output or PAGE])
    target = choose_output(paths[0], output or PAGE, force)
    require_benchmarks()
    comparisons, failures = compare_all(paths, options, quiet)
    if comparisons:
        from aecodec.benchmarks.comparison_page import page

        text = page(comparisons).encode("utf-8")
        write(target, text, force)
        if not quiet:
            typer.echo(f"{printable(target)}: {readable_size(len(text))}", err=True)
        if open_page:
            import webbrowser

            webbrowser.open(target.resolve().as_uri())
    if failures:
        raise typer.Exit(1)


def compare_all(paths: list[Path], options: CompressOptions, quiet: bool) -> tuple[list[Comparison], int]:
    """The comparisons, and how many pictures failed, each reported; raises AecodecError of a single one."""
    from aecodec import AecodecError

    comparisons, failures = [], 0
    for path in paths:
        try:
            comparisons.append(compare_one(path, options))
        except AecodecError as error:
            if len(paths) == 1:
                raise
            failures += 1
            typer.echo(f"aecodec: {error}", err=True)
        else:
            if not quiet:
                typer.echo(describe(comparisons[-1]), err=True)
    return comparisons, failures


def compare_one(path: Path, options: CompressOptions) -> Comparison:
    """One picture by all codecs; raises AecodecError that names it."""
    from aecodec.benchmarks.comparison import compare
    from aecodec.picture.reading import read_picture

    with error_context(path):
        piped = read_bytes(path, picture_in) if is_stream(path) else None
        picture = read_picture(path if piped is None else io.BytesIO(piped), options)
        return compare(picture, printable(Path(path.name)), options)


def describe(comparison: Comparison) -> str:
    """A line of what was found: sizes, and SSIMULACRA 2 where it can be measured."""
    parts = []
    for one in comparison.codecs:
        score = one.measures.get("ssimulacra2")
        eye = "" if score is None else f" SSIMULACRA 2 {score:.1f}"
        size = f" {readable_size(one.bytes)}" + (f" ({one.note})" if one.note else "")
        parts.append(f"{one.codec}{size}{eye}")
    return "; ".join([f"{comparison.name}: {', '.join(parts)}", *comparison.notes])
