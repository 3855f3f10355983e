"""What Pillow, its plugins and the libraries below them raise on odd files and images."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

from aecodec.errors import AecodecError, ImageError, one_line

MALFORMED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)


class DamagedError(ImageError):
    """A library could not decode a picture."""


@contextmanager
def decoding() -> Iterator[None]:
    """A context in which any error of a library, whose types are not documented, becomes a DamagedError."""
    try:
        yield
    except (AecodecError, MemoryError):
        raise
    except Exception as error:
        raise DamagedError(f"cannot be read: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """The text of a library's error in one line."""
    return one_line(getattr(error, "strerror", None) or error) or type(error).__name__
