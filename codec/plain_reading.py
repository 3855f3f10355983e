"""Reads pictures for what offers no options of reading: depth is made 8, and no error advises an option."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aecodec.api import ImageLike, read_any
from aecodec.errors import AecodecError
from aecodec.options import ReadOptions
from aecodec.picture import Picture

READING = ReadOptions(depth=8)
OF_AN_OPTION = " in Python)"  # stands where an error advises an option of a command, or an argument
REMEDY = "convert it first, or leave it out"


@contextmanager
def without_options() -> Iterator[None]:
    """A context in which an error that advises an option, such as --tolerant, advises REMEDY instead."""
    try:
        yield
    except AecodecError as error:
        says, _, remedy = str(error).rpartition(": ")
        if OF_AN_OPTION not in remedy:
            raise
        raise type(error)(f"{says}: {REMEDY}") from error


def read_plainly(image: ImageLike) -> Picture:
    """The Picture of what `aecodec.compress` takes; samples are rounded to 8 bits. Raises ImageError."""
    with without_options():
        return read_any(image, READING)
