"""`aecodec benchmark`: rate, distortion and speed against other codecs; needs the extra `benchmark`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from aecodec.cli.files import UsageError, folder_of


def require_benchmarks() -> None:
    """Raises MissingExtraError where the extra is missing."""
    try:
        import bjontegaard  # noqa: F401
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
        import skimage  # noqa: F401
    except ImportError as error:
        from aecodec import MissingExtraError

        raise MissingExtraError(f"{error}: run pip install 'aecodec[benchmark]'") from error


def benchmark(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]", parser=folder_of, help="Pictures; the 24 of Kodak where they are at hand."
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            parser=folder_of,
            help="Folder of the report; what it holds is not measured again.",
        ),
    ] = Path("report"),
    quick: Annotated[bool, typer.Option("--quick", help="Few pictures, qualities and metrics.")] = False,
    effort: Annotated[
        int | None,
        typer.Option("--effort", "-e", min=0, max=9, help="Measure aecodec at this effort, enhanced, too."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes; as many as cores if not given.")
    ] = None,
) -> None:
    """Compare with JPEG, WebP, AVIF and others, and write a report."""
    require_benchmarks()
    from aecodec.benchmarks.report import verdict, write
    from aecodec.benchmarks.run import KODAK, run
    from aecodec.parallel import thread_count

    if folder is None and not KODAK.is_dir():
        raise UsageError("the pictures of Kodak are not installed: name a folder, like benchmarks/kodak")
    command = ["aecodec", *sys.argv[1:]]
    results = run(folder or KODAK, output, quick, jobs or thread_count(), command, show_progress, effort)
    page = write(results, output)
    typer.echo(verdict(results))
    typer.echo(f"{page}", err=True)


def show_progress(what: str, done: int, of: int) -> None:
    """One line that is written over, on a terminal only."""
    if sys.stderr.isatty():
        end = "\n" if done == of else ""
        sys.stderr.write(f"\r\033[K{what}: {done} of {of}{end}")
        sys.stderr.flush()
