"""Arguments of the public functions: numbers of any kind become plain ones, what is none is named."""

from __future__ import annotations

import operator
from typing import Any

from aecodec.errors import AecodecError

BOOLS = ("bool", "bool_")  # numpy 2 and 1


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
