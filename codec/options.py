"""Options as data: what the functions and the commands take, checked as an object of them is made.

An option is one field. Its `Option` holds its name in a command, its help, and the function that checks a
value and makes it plain: numbers of any kind become Python's, and what is none is named. The options of
commands are made from these fields (`aecodec.cli.options`). A new option of `compress` has two places: its
field, here or in `aecodec.encoder.options`, and the code that acts on it.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, TypeVar

from aecodec.container import MAX_PIXELS
from aecodec.errors import AecodecError, ImageError

Function = TypeVar("Function", bound=Callable[..., Any])
OPTION = "option"  # the key in a field's metadata
BOOLS = ("bool", "bool_")  # numpy 2 and 1


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


def option_of(option_field: Any) -> Option:
    """The `Option` of a dataclass field."""
    option: Option = option_field.metadata[OPTION]
    return option


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Fields of options. All values but defaults are checked and made plain as the object is made."""

    def __post_init__(self) -> None:
        chosen = 0
        for option_field in fields(self):
            name, value = option_field.name, getattr(self, option_field.name)
            if value is not option_field.default:
                object.__setattr__(self, name, option_of(option_field).check(name, value))
                chosen += 1
        if chosen > 1:
            self.check_together()

    def check_together(self) -> None:
        """Raises AecodecError for options that exclude each other, once several are chosen."""


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


def is_truth(value: Any) -> bool:
    """Whether something is a truth value, of Python or of numpy, which need not be loaded for this."""
    return isinstance(value, bool) or (type(value).__module__ == "numpy" and type(value).__name__ in BOOLS)


def number(name: str, value: Any, error: type[AecodecError]) -> float:
    """A number as a float, which may be infinite or NaN; text and truth values are no numbers."""
    if is_truth(value) or not hasattr(value, "__float__"):
        raise error(f"{name} {value!r} is no number: give one")
    try:
        return float(value)
    except OverflowError:  # of an integer beyond floats
        return float("inf") if value > 0 else float("-inf")
    except (TypeError, ValueError) as cause:  # as of an array
        raise error(f"{name} {value!r} is no number: give a single one") from cause


def whole_number(name: str, value: Any, error: type[AecodecError]) -> int:
    """A number without fraction as an int: 1, 1.0 and numpy's are one."""
    if not is_truth(value) and hasattr(value, "__index__"):
        try:
            return operator.index(value)
        except TypeError as cause:  # as of an array
            raise error(f"{name} {value!r} is no number: give a single one") from cause
    converted = number(name, value, error)
    if not converted.is_integer():
        raise error(f"{name} {value!r} is no whole number: give one")
    return int(converted)


def truth(name: str, value: Any, error: type[AecodecError]) -> bool:
    """True or False; whatever else might be taken for one of them is refused."""
    if not is_truth(value):
        raise error(f"{name} {value!r} is neither True nor False: give one of them")
    return bool(value)


def choice(name: str, value: Any, choices: tuple[str, ...], error: type[AecodecError]) -> str:
    """One of some words."""
    if not isinstance(value, str) or value not in choices:
        raise error(f"{name} {value!r} is unknown: choose of {', '.join(choices)}")
    return value


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
        check_depth,
    )
    frame: int | None = option(
        None,
        "Of files of several pictures the one of this number, from 0 on.",
        partial(whole_number, error=ImageError),
    )
    tolerant: bool = option(False, "Read what is there of damaged pictures.", true_or_false(ImageError))
    max_pixels: int = option(
        MAX_PIXELS,
        f"Refuse larger pictures, as 24M. Default: {MAX_PIXELS}.",
        check_max_pixels,
        metavar="PIXELS",
        parse="pixels_of",
    )
