"""What Pillow, its plugins and the libraries below them raise on odd files and images, and warn of.

Warnings are muted in one thread, without an effect on others. `warnings.catch_warnings` replaces the list of
filters of the whole process. Where several threads do so at once, the last one to end may leave the list of
another, and all are muted. The filter here matches in threads that are in the context, and in no others.
"""

from __future__ import annotations

import os
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, local
from typing import Any

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
ANYTHING, NOTHING = re.compile(""), re.compile("(?!)")


class DamagedError(ImageError):
    """A library could not decode a picture."""


def reason_of(error: Exception) -> str:
    """The text of a library's error in one line."""
    return one_line(getattr(error, "strerror", None) or error).rstrip(".") or type(error).__name__


class Within(local):
    """Stands in for a regular expression in `warnings`: matches any text in a thread that is in the context.

    Its methods are those of `re`, in C: while `warnings` goes through the filters no thread gets its turn.
    """

    match: Any = NOTHING.match


lock, within = Lock(), Within()
if hasattr(os, "register_at_fork"):  # in a child nobody would release it
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
users = 0  # threads that are within
FILTER: Any = ("ignore", within, Warning, None, 0)
process: Any = warnings  # whose list of filters has a type that says it is not changed


@contextmanager
def unwarned() -> Iterator[None]:
    """Within, nothing is warned of, and no warning is made an error.

    The first user puts the filter before all others, and the last one takes it away. The list is exchanged,
    not changed: another thread may be going through it.
    """
    global users
    before, within.match = within.match, ANYTHING.match
    with lock:
        users += 1
        if FILTER not in warnings.filters[:1]:
            others = [entry for entry in warnings.filters if entry != FILTER]
            process.filters = [FILTER, *others]
    try:
        yield
    finally:
        with lock:
            users -= 1
            if not users and FILTER in warnings.filters:
                process.filters = [entry for entry in warnings.filters if entry != FILTER]
        within.match = before


@contextmanager
def decoding() -> Iterator[None]:
    """A context for what libraries do. Any error, whose types they do not document, becomes a DamagedError.

    Nothing is warned of.
    """
    with unwarned():
        try:
            yield
        except (AecodecError, MemoryError):
            raise
        except Exception as error:
            raise DamagedError(f"cannot be read: {reason_of(error)}") from error
