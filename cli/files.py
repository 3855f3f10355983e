"""Names, reading and writing of the files that commands work on."""

from __future__ import annotations

import errno
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from operator import methodcaller
from pathlib import Path
from typing import IO

SUFFIX = ".aec"
STANDARD = Path("-")  # the standard input or output
TEMPORARY = ".aecodec-"  # how the names of unfinished files begin


class UsageError(Exception):
    """The command was called in a way that cannot work; its text says how to call it."""


def choose_output(source: Path, output: Path | None, suffix: str, force: bool, create: bool = False) -> Path:
    """OUT, or IN with another suffix, links followed; raises UsageError where it must not be written.

    With `create` the folders above it may still be missing.
    """
    try:
        chosen = (output or source.with_suffix(suffix)).resolve()
        if chosen.is_dir():
            raise UsageError(f"{chosen} is a directory: name a file")
        if chosen.exists():
            if source.exists() and chosen.samefile(source):
                raise UsageError(f"{chosen} is the input: name another output")
            if not force:
                raise UsageError(f"{chosen} exists: name another output or pass --force")
            if not chosen.is_file():
                raise UsageError(f"{chosen} is no ordinary file: name another output")
        check_folder(chosen.parent, create)
    except (OSError, ValueError) as error:
        raise UsageError(f"{output or source}: no output can be named so: {error}") from error
    return chosen


def check_folder(folder: Path, create: bool) -> None:
    """Raises UsageError where a folder is none, and, unless one may `create` it, where it is missing."""
    while create and not folder.exists():
        folder = folder.parent
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: name a folder")
    if not folder.exists():
        raise UsageError(f"{folder} is no directory: create it first")


@contextmanager
def concerning(path: Path) -> Iterator[None]:
    """Errors raised on purpose within name the file that they concern."""
    from codec import AecodecError

    try:
        yield
    except AecodecError as error:
        raise type(error)(f"{path}: {error}") from error


def read_bytes(source: Path, read: Callable[[IO[bytes]], bytes] = methodcaller("read")) -> bytes:
    """All of a file or the standard input, or what `read` takes of it; raises AecodecError."""
    from codec import AecodecError

    try:
        if source != STANDARD:
            with source.open("rb") as file:
                return read(file)
        if sys.stdin is None:
            raise AecodecError("there is no standard input: name a file")
        return read(sys.stdin.buffer)
    except OSError as error:
        raise AecodecError(f"cannot be read: {error.strerror}") from error


def write(target: Path, data: bytes, force: bool) -> None:
    """Write a file whole, or to the standard output; raises AecodecError."""
    from codec import AecodecError

    if target != STANDARD:
        write_atomically(target, data, force)
        return
    if sys.stdout is None:
        raise AecodecError("there is no standard output: name a file")
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what Python still holds
        raise AecodecError(f"the standard output cannot be written: {error.strerror}") from error


def keep_times(source: Path, target: Path) -> None:
    """Give a file the times of another; raises AecodecError."""
    from codec import AecodecError

    if STANDARD in (source, target):
        return
    try:
        about = source.stat()
        os.utime(target, ns=(about.st_atime_ns, about.st_mtime_ns))
    except OSError as error:
        raise AecodecError(f"{target}: its times cannot be set: {error.strerror}") from error


def write_atomically(target: Path, data: bytes, force: bool) -> None:
    """Write through a temporary file beside the target, so that no half-written file has its name.

    Without `force` a file that has appeared under that name in the meantime stays, an AecodecError is raised.
    """
    from codec import AecodecError

    temporary = target.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            if target.exists():
                temporary.chmod(target.stat().st_mode)
            file.write(data)
        put_in_place(temporary, target, force)
    except OSError as error:
        raise AecodecError(f"{target}: cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def put_in_place(temporary: Path, target: Path, force: bool) -> None:
    """Give a file its final name; raises FileExistsError where another has it, unless `force`."""
    if not force:
        try:
            os.link(temporary, target)
            return
        except FileExistsError:
            raise
        except OSError:  # of a file system without links, as that of most memory cards
            if target.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
    temporary.replace(target)


def shown(path: Path) -> str:
    """A name as any terminal can print it."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def readable_size(count: int) -> str:
    """Bytes as `812 B`, `46.3 kB` or `1.2 MB`."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"
