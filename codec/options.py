"""Options as data: what the functions and the commands take, checked as an object of them is made.

An option is one field. Its `Option` holds its name in a command, its help, and the function that checks a
value and makes it plain. The options of commands are made from these fields (`aecodec.cli.options`). A new
option of `compress` has two places: its field, here or in `aecodec.encoder.options`, and the code that acts
on it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, TypeVar

from aecodec.arguments import truth, whole_number
from aecodec.container import MAX_PIXELS
from aecodec.errors import AecodecError, ImageError

Function = TypeVar("Function", bound=Callable[..., Any])
OPTION = "option"  # the key in a field's metadata


@dataclass(frozen=True, slots=True)
class Option:
    """What belongs to an option besides its type and default."""

    help: str  # a sentence, for the command
    check: Callable[[str, Any], Any]  # of its name and a value: the plain value; raises AecodecError
    short: str = ""  # of the command, as -q
    metavar: str = ""
    parse: str = ""  # what turns a command's text into a value: a name in `aecodec.cli.options`
    repeats: bool = False  # whether the command takes it several times


def option(default: Any, help: str, check: Callable[[str, Any], Any], **more: Any) -> Any:
    """A field of an options class."""
    return field(default=default, metadata={OPTION: Option(help, check, **more)})


def unless_none(check: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    """The same check, which lets None pass."""
    return lambda name, value: None if value is None else check(name, value)


def option_of(option_field: Any) -> Option:
    """The `Option` of a dataclass field."""
    option: Option = option_field.metadata[OPTION]
    return option


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Fields of options, whose values are checked and made plain as the object is made."""

    def __post_init__(self) -> None:
        for option_field in fields(self):
            value = option_of(option_field).check(option_field.name, getattr(self, option_field.name))
            object.__setattr__(self, option_field.name, value)


def with_signature_of(options: type[Checked]) -> Callable[[Function], Function]:
    """A decorator that adds the names of all options to the signature of a function of `**options`."""

    def name_them(function: Function) -> Function:
        declared = [
            parameter
            for parameter in inspect.signature(function).parameters.values()
            if parameter.kind != inspect.Parameter.VAR_KEYWORD
        ]
        taken = {parameter.name for parameter in declared}
        more = [
            inspect.Parameter(
                option_field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=option_field.default,
                annotation=option_field.type,
            )
            for option_field in fields(options)
            if option_field.name not in taken
        ]
        signature = inspect.signature(function).replace(parameters=[*declared, *more])
        function.__signature__ = signature  # type: ignore[attr-defined]
        return function

    return name_them


def check_depth(name: str, value: Any) -> int:
    """A depth that is offered; raises ImageError."""
    if (depth := whole_number(name, value, ImageError)) != 8:
        raise ImageError(f"depth {value} is not offered: choose 8")
    return depth


def check_max_pixels(name: str, value: Any) -> int:
    """A limit of pixels; raises ImageError."""
    if (limit := whole_number(name, value, ImageError)) < 1:
        raise ImageError(f"max_pixels {limit} leaves no picture: give a positive number")
    return limit


def true_or_false(error: type[AecodecError]) -> Callable[[str, Any], bool]:
    """A check of truth values."""
    return partial(truth, error=error)


@dataclass(frozen=True, kw_only=True)
class ReadOptions(Checked):
    """How picture files, images and arrays are read; raises ImageError for a value that is not offered."""

    depth: int | None = option(
        None,
        "8: convert pictures of more bits a sample, which are otherwise refused.",
        unless_none(check_depth),
    )
    frame: int | None = option(
        None,
        "Of files of several pictures the one of this number, from 0 on.",
        unless_none(partial(whole_number, error=ImageError)),
    )
    tolerant: bool = option(False, "Read what is there of damaged pictures.", true_or_false(ImageError))
    max_pixels: int = option(
        MAX_PIXELS,
        f"Refuse larger pictures, as 24M. Default: {MAX_PIXELS}.",
        check_max_pixels,
        metavar="PIXELS",
        parse="pixels_of",
    )
