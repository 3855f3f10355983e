"""Options that several commands share."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Collection
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from aecodec.cli.files import UsageError, folder_of, path_of
from aecodec.options import option_of

# Sentence on names in the help of every command that writes.
NAMES = (
    "A second name is OUT only where no picture of that name exists; "
    "-o names OUT in any case, and with -d every name is an input."
)
THOUSANDS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
BINARY = {"k": 2**10, "m": 2**20, "g": 2**30}


def count_of(unit: str, text: str) -> int:
    """The number of text such as 20000, 20k, 1.5M or 20Ki, with or without unit.

    Raises typer.BadParameter.
    """
    match = re.fullmatch(rf"(\d+(?:\.\d+)?) ?(?:([kmg]i)|([kmg]?)){unit}?", text.strip(), re.IGNORECASE)
    if not match:
        raise typer.BadParameter(f"{text!r} is no number: give one such as 20000, 20k, 1.5M or 20Ki")
    number, binary, thousands = match.groups()
    factor = BINARY[binary[0].lower()] if binary else THOUSANDS[thousands.lower()]
    count = int(Decimal(number) * factor)
    if count < 1:
        raise typer.BadParameter(f"{text!r} is less than 1: give a larger one")
    return count


def bytes_of(text: str) -> int:
    """The bytes that an option asks for; raises typer.BadParameter."""
    return count_of("B", text)


def pixels_of(text: str) -> int:
    """The pixels that an option asks for; raises typer.BadParameter."""
    return count_of("P", text)


MaxPixels = Annotated[
    int | None,
    typer.Option(
        metavar="PIXELS", parser=pixels_of, help="Refuse larger pictures, as 24M. Default: 178956970."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="OUT", parser=path_of, help="Write the one output under this name."
    ),
]
OutputDir = Annotated[
    Path | None,
    typer.Option(
        "--output-dir",
        "-d",
        metavar="PATH",
        parser=folder_of,
        help="Write into this folder, created if need be; every name is an input.",
    ),
]
Recursive = Annotated[bool, typer.Option("--recursive", "-r", help="Search folders for inputs.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Files at a time, each in a process.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be written or fail, and do nothing.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Overwrite outputs.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print results as JSON on stdout, a line for each file.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
KeepTimes = Annotated[
    bool, typer.Option("--keep-times", help="Give outputs the times and permissions of their inputs.")
]
Cluster = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Do the work on a Dask cluster, as tcp://host:8786."),
]
Strip = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KINDS",
        help="Metadata to leave out: exif, gps (coordinates in EXIF, XMP and text), icc, xmp (which may hold "
        "GPS too), text (comments, IPTC, resolution) or all. Several with commas, or the option again.",
    ),
]
Background = Annotated[
    str | None,
    typer.Option(metavar="COLOUR", help="Behind transparency in JPEG and BMP: a name, #rgb or #rrggbb."),
]
JpegQuality = Annotated[int, typer.Option(min=1, max=100, help="Of JPEG outputs, 1 to 100.")]
JPEG_QUALITY = 95  # default, 1 to 100, as in the library: above it files grow fast and hardly look better


def kinds_to_strip(names: list[str] | None) -> tuple[str, ...]:
    """The kinds of metadata that --strip names; raises UsageError for others."""
    from aecodec import MetadataError
    from aecodec.picture.stripping import kinds_of

    try:
        return kinds_of(names or ())
    except MetadataError as error:
        raise UsageError(f"--{error}") from error


def noise_of(text: str) -> float | str | None:
    """The value of --denoise; raises UsageError."""
    if text in ("off", "auto"):
        return None if text == "off" else text
    try:
        return float(text)
    except ValueError as error:
        from aecodec.restoration.denoising import LARGEST_SIGMA

        raise UsageError(
            f"--denoise {text}: choose off, auto, or a deviation of 0 to {LARGEST_SIGMA:g}"
        ) from error


def downscaling_of(text: str) -> int | str:
    """The value of --reduce; raises UsageError."""
    if text not in ("off", "auto", "2", "3", "4"):
        raise UsageError(f"--reduce {text}: choose off, auto, 2, 3 or 4")
    return text if text == "auto" else 1 if text == "off" else int(text)


PARSERS: dict[str, Callable[[str], Any]] = {
    parser.__name__: parser for parser in (bytes_of, pixels_of, noise_of, downscaling_of)
}


def with_options(
    options_class: type[Any], only: Collection[str] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator that replaces the parameter `options` of a command by one option for each field of a class.

    `only` names the fields, where not all of them are wanted.

    A value that is not offered, and options that exclude each other, are a UsageError.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        command_parameters = inspect.signature(command, eval_str=True).parameters
        ordered = sorted(
            fields(options_class),
            key=lambda option_field: option_field.name not in options_class.__annotations__,
        )  # fields of a base class last
        chosen = [option_field for option_field in ordered if only is None or option_field.name in only]
        generated = {option_field.name: parameter_of(option_field) for option_field in chosen}

        @functools.wraps(command)
        def run(**values: Any) -> None:
            from aecodec import AecodecError

            option_values = {name: values.pop(name) for name in generated}
            try:
                options = options_class(
                    **{name: value for name, value in option_values.items() if value is not None}
                )
            except AecodecError as error:
                name = str(error).split(" ")[0]
                raise UsageError(
                    f"--{name.replace('_', '-')}{str(error)[len(name) :]}"
                    if name in option_values
                    else str(error)
                ) from error
            command(options=options, **values)

        parameters: list[inspect.Parameter] = []
        for name, parameter in command_parameters.items():
            by_name = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            parameters += generated.values() if name == "options" else [by_name]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del run.__wrapped__  # whose signature typer would take
        return run

    return decorate


def parameter_of(option_field: Any) -> inspect.Parameter:
    """The option of a command for a field of options. Its default is None, or False for a flag."""
    option = option_of(option_field)
    names = [f"--{option_field.name.replace('_', '-')}", *([option.short] if option.short else [])]
    more: dict[str, Any] = {"help": option.help}
    if option.metavar:
        more["metavar"] = option.metavar
    value_types = {"bool": bool, "int": int, "float": float, "str": str}
    value_type: Any = value_types[str(option_field.type).split(" ")[0]]
    if option.parse:
        more["parser"] = PARSERS[option.parse]
    if option.repeats:
        value_type = list[str]
    annotation: Any = Annotated[
        value_type if value_type is bool else value_type | None, typer.Option(*names, **more)
    ]
    default = False if value_type is bool else None
    by_name = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(option_field.name, by_name, default=default, annotation=annotation)
