"""The command line: one file per command, thin. Heavy imports live inside the commands.

Exit codes: 0 done, 1 a file failed, 2 wrong usage, 3 a damaged stream, 4 an unknown model,
5 a target out of reach.
"""

from __future__ import annotations

import signal
import sys
from typing import Annotated, Any

import typer

from aecodec.cli.anomaly import anomaly
from aecodec.cli.benchmark import benchmark
from aecodec.cli.compare import compare
from aecodec.cli.compress import compress
from aecodec.cli.decompress import decompress
from aecodec.cli.denoise import denoise
from aecodec.cli.embed import embed
from aecodec.cli.enhance import enhance
from aecodec.cli.export_html import export_html
from aecodec.cli.files import UsageError
from aecodec.cli.info import info
from aecodec.cli.lab import lab
from aecodec.cli.models import models
from aecodec.cli.serve import serve
from aecodec.cli.train import train
from aecodec.cli.upscale import upscale
from aecodec.training.interrupts import HANG_UP

# UsageError of click, which typer carries within itself: so it cannot be imported by name.
CLICK_USAGE_ERROR: Any = typer.BadParameter.__mro__[1]


def show_version(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=show_version,  # this very function, before a command is looked for
            is_eager=True,
            help="Show the release, and exit.",
        ),
    ] = False,
) -> None:
    """Print the release and exit, if asked for: the only option that stands before the command."""
    if version:
        from aecodec import __version__

        typer.echo(f"aecodec {__version__}")
        raise typer.Exit


app = typer.Typer(
    callback=show_version,
    help="Learned image compression: small files, made for the eye.",
    epilog="Exit codes: 0 done, 1 a file failed, 2 wrong usage, 3 a damaged stream, 4 an unknown model, "
    "5 a target out of reach.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(compress)
app.command()(decompress)
app.command()(denoise)
app.command()(enhance)
app.command()(upscale)
app.command()(info)
app.command()(models)
app.command()(benchmark)
app.command()(compare)
app.command("export-html")(export_html)
app.command()(serve)
app.command()(embed)
app.add_typer(anomaly, name="anomaly")
app.add_typer(lab, name="lab")
app.add_typer(train, name="train")


def main() -> None:
    """Run the command; an error becomes one line on stderr and an exit code."""
    for number in (signal.SIGTERM, *HANG_UP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as of nohup
            signal.signal(number, lambda caught, _: sys.exit(128 + caught))  # after cleaning up
    try:
        sys.exit(app(prog_name="aecodec", standalone_mode=False))
    except typer.Abort as abort:  # of an EOFError, which typer takes for the end of what a user types
        raise abort.__cause__ or abort from None
    except Exception as error:
        if (code := exit_code(error)) is None:
            raise
        print(error_message(error), file=sys.stderr)
        sys.exit(code)


def error_message(error: Exception) -> str:
    """The message of an error, in one line. A usage error names the help.

    An empty command line gets the help.
    """
    if not isinstance(error, CLICK_USAGE_ERROR):
        named = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        return f"aecodec: {named}{getattr(error, 'strerror', None) or error}"
    message: str = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        return message
    where = error.ctx.command_path if error.ctx else "aecodec"
    return f"aecodec: {message[0].lower()}{message[1:].rstrip('.')}: see {where} --help"


def exit_code(error: Exception) -> int | None:
    """The documented exit code of an error raised on purpose, None for any other."""
    if isinstance(error, (UsageError, CLICK_USAGE_ERROR)):
        return 2
    from aecodec import (
        AecodecError,
        BitstreamError,
        MissingExtraError,
        RegionError,
        StageError,
        TargetError,
        UnknownModelError,
    )

    codes = {
        BitstreamError: 3,
        UnknownModelError: 4,
        TargetError: 5,
        MissingExtraError: 2,
        RegionError: 2,
        StageError: 2,
        AecodecError: 1,
        OSError: 1,  # what is left of them concerns the standard streams and folders of runs
    }
    return next((code for error_class, code in codes.items() if isinstance(error, error_class)), None)
