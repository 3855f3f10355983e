"""Names, reading and writing of the files that commands work on."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from operator import methodcaller
from pathlib import Path
from typing import IO

SUFFIX = ".aec"
STANDARD = Path("-")  # the standard input or output
STANDARD_NAMES = ("/dev/stdin", "/dev/stdout")  # which open anew what is behind them, as a pipe refuses
TEMPORARY = ".aecodec-"  # how the names of unfinished files begin
PERMISSIONS = 0o777  # of a mode: what is kept of it; the bits that run a program as its owner are not


class UsageError(Exception):
    """The command was called in a way that cannot work; its text says how to call it."""


def path_of(text: str) -> Path:
    """The path that an argument names; `-` alone is STANDARD, `./-` a file of that name.

    Raises UsageError for a name with a slash at its end under which there is no folder.
    """
    if text in STANDARD_NAMES:
        return STANDARD
    path = Path(text)
    if text.endswith(("/", os.sep)) and not path.is_dir():
        raise UsageError(f"{text} is no directory: create it first, or name an output folder with -d")
    return path.absolute() if path == STANDARD and text != "-" else path


def choose_output(source: Path, output: Path, force: bool, create: bool = False) -> Path:
    """OUT, links followed; raises UsageError where it must not be written.

    With `create` the folders above it may still be missing.
    """
    if is_stream(output):
        return output.absolute()  # as a link of /dev/fd leads to no name
    try:
        chosen = Path(os.path.realpath(output))
        if chosen.is_dir():
            raise UsageError(f"{chosen} is a directory: name a file")
        if chosen.is_symlink():
            raise UsageError(f"{chosen} is a link in a loop of links: name another output")
        if chosen.exists():
            if source.exists() and chosen.samefile(source):
                raise UsageError(f"{chosen} is the input: name another output")
            if not force:
                raise UsageError(f"{chosen} exists: name another output or pass --force")
            if not chosen.is_file():
                raise UsageError(f"{chosen} is no ordinary file: name another output")
        check_folder(chosen.parent, create)
    except (OSError, ValueError) as error:
        raise UsageError(f"{output}: no output can be named so: {error}") from error
    return chosen


def check_folder(folder: Path, create: bool) -> None:
    """Raises UsageError where a folder is none, and, unless one may `create` it, where it is missing."""
    while create and not os.path.lexists(folder):
        folder = folder.parent
    if folder.is_file():
        raise UsageError(f"{folder} is a file: name a folder")
    if not folder.is_dir():
        raise UsageError(f"{folder} is no directory: create it first")


def is_stream(path: Path) -> bool:
    """Whether a name is that of a pipe or a device such as /dev/null, in which nothing is overwritten."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


@contextmanager
def concerning(path: Path) -> Iterator[None]:
    """Errors raised on purpose within name the file that they concern."""
    from aecodec import AecodecError

    try:
        yield
    except AecodecError as error:
        raise type(error)(f"{path}: {error}") from error


def read_bytes(source: Path, read: Callable[[IO[bytes]], bytes] = methodcaller("read")) -> bytes:
    """All of a file or the standard input, or what `read` takes of it; raises AecodecError."""
    from aecodec import AecodecError

    try:
        if source != STANDARD:
            with source.open("rb") as file:
                return read(file)
        if sys.stdin is None:
            raise AecodecError("there is no standard input: name a file")
        return read(sys.stdin.buffer)
    except OSError as error:
        raise AecodecError(f"cannot be read: {error.strerror}") from error


def read_stream(source: Path) -> bytes | None:
    """The picture in a pipe or a device, which can be read only once; None of an ordinary file."""
    return read_bytes(source, picture_in) if source == STANDARD or is_stream(source) else None


def picture_in(file: IO[bytes]) -> bytes:
    """The bytes of an open file, or as many as show that it is no picture: it may have no end."""
    from aecodec.container import CHUNK, MAX_INPUT
    from aecodec.picture.signatures import HEAD, is_picture

    head = file.read(HEAD)
    if not is_picture(head):
        return head
    return b"".join([head, *islice(iter(partial(file.read, CHUNK), b""), MAX_INPUT // CHUNK)])


def first_bytes(path: Path) -> bytes:
    """The first bytes of an ordinary file, by which pictures are known; nothing of any other; OSError."""
    from aecodec.picture.signatures import HEAD

    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(HEAD)


def write(
    target: Path,
    data: bytes,
    force: bool,
    like: Path | None = None,
    check: Callable[[Path], None] | None = None,
) -> None:
    """Write a file whole, or to a pipe or device; raises AecodecError.

    A file gets the times and permissions of the one that it is to be `like`, and its name only after
    a `check`, which is given the unfinished one's.
    """
    from aecodec import AecodecError

    if target == STANDARD:
        write_standard_output(data)
    elif is_stream(target):
        try:
            target.write_bytes(data)
        except OSError as error:
            raise AecodecError(f"{target}: cannot be written: {error.strerror}") from error
    else:
        ordinary = like is not None and like != STANDARD and not is_stream(like)
        write_atomically(target, data, force, like if ordinary else None, check)


def write_standard_output(data: bytes) -> None:
    """Write to the standard output; raises AecodecError."""
    from aecodec import AecodecError

    if sys.stdout is None:
        raise AecodecError("there is no standard output: name a file")
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what Python still holds
        raise AecodecError(f"the standard output cannot be written: {error.strerror}") from error


def write_atomically(
    target: Path,
    data: bytes,
    force: bool,
    like: Path | None = None,
    check: Callable[[Path], None] | None = None,
) -> None:
    """Write through a temporary file beside the target, so that no half-written file has its name.

    Without `force` a file that has appeared under that name in the meantime stays, an AecodecError is raised.
    Both the file and its name are on the disk when it returns, as far as the system can say.
    """
    from aecodec import AecodecError

    temporary = target.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            if (model := like or target).exists():
                temporary.chmod(model.stat().st_mode & PERMISSIONS)  # before there is anything to read
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if check:
            with concerning(target):
                check(temporary)
        if like:
            keep_times(like, temporary)
        put_in_place(temporary, target, force)
        synchronise(target.parent)
    except OSError as error:
        raise AecodecError(f"{target}: cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def keep_times(source: Path, target: Path) -> None:
    """Give a file the times of another; raises OSError."""
    about = source.stat()
    os.utime(target, ns=(about.st_atime_ns, about.st_mtime_ns))


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


def synchronise(folder: Path) -> None:
    """Have the names in a folder written to the disk, where the system can."""
    with suppress(OSError):  # of Windows, and of file systems that cannot
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def shown(path: Path) -> str:
    """A name as any terminal can print it."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def readable_size(count: int) -> str:
    """Bytes as `812 B`, `46.3 kB` or `1.2 MB`."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"
