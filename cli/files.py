"""Names, reading and writing of the files that commands work on."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from operator import methodcaller
from pathlib import Path
from typing import IO, TypeAlias

from aecodec.signatures import HEAD, is_picture

Check: TypeAlias = Callable[[Path], None]  # of an unfinished file, which raises AecodecError
SUFFIX = ".aec"
STANDARD_STREAM = Path("-")  # the standard input or output
EMPTY_NAME = "a name is empty: an unset variable, perhaps; name a file"
# Paths that stand for the standard streams too. They are never opened: that opens what is behind a stream
# once more, which a pipe refuses.
STANDARD_STREAM_NAMES = ("/dev/stdin", "/dev/stdout")
TEMPORARY = ".aecodec-"  # start of the names of unfinished files
PERMISSIONS = 0o777  # bits of a mode that are copied; set-user-id and set-group-id must not be


class UsageError(Exception):
    """The command was called in a way that cannot work; its text says how to call it."""


def path_of(text: str) -> Path:
    """The path that an argument names; `-` alone is STANDARD, `./-` a file of that name.

    Raises UsageError for an empty name and for one with a slash at its end under which there is no folder.
    """
    if not text:
        raise UsageError(EMPTY_NAME)
    if text in STANDARD_STREAM_NAMES:
        return STANDARD_STREAM
    path = Path(text)
    if text.endswith(("/", os.sep)) and not path.is_dir():
        raise UsageError(f"{text} is no directory: create it first, or name an output folder with -d")
    return path.absolute() if path == STANDARD_STREAM and text != "-" else path


def folder_of(text: str) -> Path:
    """The folder that an argument names; raises UsageError for an empty name, which would be this folder."""
    if not text:
        raise UsageError(EMPTY_NAME)
    return Path(text)


def existing(text: str) -> Path:
    """The file or folder that an argument names; raises UsageError where there is none."""
    path = folder_of(text)
    if not path.exists():
        raise UsageError(f"{text} does not exist: name a file or folder that does")
    return path


def choose_output(source: Path, output: Path, force: bool, create: bool = False) -> Path:
    """OUT as it was named, or what it is a link to; raises UsageError if it must not be written.

    With `create` the folders above it may still be missing.
    """
    if output == STANDARD_STREAM:
        return output
    if is_stream(output):
        return output.absolute()  # as a link of /dev/fd leads to no name
    try:
        chosen = Path(os.path.realpath(output))
        if chosen.is_dir():
            raise UsageError(f"{output} is a directory: name a file")
        if chosen.is_symlink():
            raise UsageError(f"{output} is a link in a loop of links: name another output")
        if chosen.exists():
            if source.exists() and chosen.samefile(source):
                raise UsageError(f"{output} is the input: name another output")
            if not force:
                raise UsageError(f"{output} exists: name another output or pass --force")
            if not chosen.is_file():
                raise UsageError(f"{output} is no ordinary file: name another output")
        named = chosen if output.is_symlink() else output
        if not named.parent.is_dir():
            check_folder(named.parent, create)
    except (OSError, ValueError) as error:
        raise UsageError(f"{output}: no output can be named so: {error}") from error
    return named


def check_outputs(sources: Iterable[Path], outputs: Iterable[Path]) -> None:
    """Raise UsageError for an output of a command that is an input of it, or if two outputs are not apart."""
    inputs = {identity(source) for source in sources if not is_stream(source)}
    names: dict[Path, Path] = {}
    for output in outputs:
        if is_stream(output) and output != STANDARD_STREAM:
            continue  # to which any number of outputs can go
        if output != STANDARD_STREAM and identity(output) in inputs:
            raise UsageError(f"{output} is the input: name another output")
        path = output if output == STANDARD_STREAM else Path(os.path.realpath(output))
        if path in names:
            raise UsageError(f"{output} would be two outputs: name them apart")
        names[path] = output
    for path, output in names.items():
        if folder := next(filter(names.__contains__, path.parents), None):
            raise UsageError(f"{output} would lie in {names[folder]}, another output: name them apart")


def identity(path: Path) -> Hashable:
    """By which a file is known under all its names, links among them: device and number, or else the path."""
    try:
        status = path.stat()
    except OSError:
        return os.path.realpath(path)
    return status.st_dev, status.st_ino


def check_folder(folder: Path, create: bool) -> None:
    """Raise UsageError if a path is no folder, or if it is missing and may not be created (`create`)."""
    while create and not os.path.lexists(folder):
        folder = folder.parent
    if folder.is_file():
        raise UsageError(f"{folder} is a file: name a folder")
    if not folder.is_dir():
        raise UsageError(f"{folder} is no directory: create it first")


def is_stream(path: Path) -> bool:
    """Whether a path is a standard stream, a pipe or a device such as /dev/null.

    It can be read only once, and writing to it overwrites nothing.
    """
    if path == STANDARD_STREAM:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


@contextmanager
def error_context(path: Path) -> Iterator[None]:
    """A context that puts the path of a file before the text of every AecodecError raised in it."""
    from aecodec import AecodecError

    try:
        yield
    except AecodecError as error:
        raise type(error)(f"{path}: {error}") from error


@contextmanager
def own_limit(
    data: bytes, max_pixels: int, region: tuple[int, int, int, int] | None = None, scale: int = 1
) -> Iterator[None]:
    """A context that makes a LimitError an ImageError where only the picture that is asked for is too large.

    A file that claims more pixels than the default limit is at fault itself.
    """
    from aecodec import ImageError, LimitError, info
    from aecodec.container import MAX_PIXELS, check_size

    try:
        yield
    except LimitError as error:
        file = info(data, max_pixels=max(max_pixels, MAX_PIXELS))
        width, height = region[2:] if region else (file.width, file.height)
        try:
            check_size(file.width, file.height, max_pixels)
            check_size(scale * width, scale * height, max_pixels)
        except LimitError:
            raise ImageError(str(error)) from error
        raise


def read_bytes(source: Path, read: Callable[[IO[bytes]], bytes] = methodcaller("read")) -> bytes:
    """The bytes that `read` takes of a file or of the standard input, by default all; raises AecodecError."""
    from aecodec import AecodecError

    try:
        if source != STANDARD_STREAM:
            with source.open("rb") as file:
                return read(file)
        if sys.stdin is None:
            raise AecodecError("there is no standard input: name a file")
        return read(sys.stdin.buffer)
    except OSError as error:
        raise AecodecError(f"cannot be read: {error.strerror}") from error


def check_readable(source: Path) -> None:
    """Raise AecodecError for a file that cannot be opened. Of a stream nothing is read."""
    if not is_stream(source):
        with error_context(source):
            read_bytes(source, lambda _: b"")


def picture_in(file: IO[bytes]) -> bytes:
    """The bytes of an open file. If it is no picture, only its first bytes, since it may be endless."""
    from aecodec.container import MAX_INPUT
    from aecodec.fields import CHUNK

    head = file.read(HEAD)
    if not is_picture(head):
        return head
    return b"".join([head, *islice(iter(partial(file.read, CHUNK), b""), MAX_INPUT // CHUNK)])


def first_bytes(path: Path) -> bytes:
    """The first bytes of an ordinary file, which tell pictures; empty for any other file; raises OSError."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(HEAD)


def write(
    target: Path, data: bytes, force: bool, like: Path | None = None, check: Check | None = None
) -> None:
    """Write a file through a temporary one beside it, or write to a stream; raises AecodecError.

    So no half-written file ever has its name. With `force` it replaces a file of that name. It gets the times
    and permissions of the file `like`. `check` is called with the path of the temporary file.
    """
    from aecodec import AecodecError

    if is_stream(target):
        write_stream(target, data)
        return
    like = None if like is None or is_stream(like) else like
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
            with error_context(target):
                check(temporary)
        if like:
            keep_times(like, temporary)
        put_in_place(temporary, target, force)
    except OSError as error:
        raise AecodecError(f"{target}: cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_stream(target: Path, data: bytes) -> None:
    """Write to the standard output, a pipe or a device; raises AecodecError."""
    from aecodec import AecodecError

    if target != STANDARD_STREAM:
        try:
            target.write_bytes(data)
        except OSError as error:
            raise AecodecError(f"{target}: cannot be written: {error.strerror}") from error
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
    """Give a file the times of another; raises OSError."""
    status = source.stat()
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def put_in_place(temporary: Path, target: Path, force: bool) -> None:
    """Give a file its final name, on the disk too, as far as the system can tell; raises OSError.

    FileExistsError says that another file has got that name meanwhile. It stays, unless `force`.
    """
    if force:
        temporary.replace(target)
    else:
        try:
            os.link(temporary, target)
        except FileExistsError:
            raise
        except OSError:  # of a file system without links, as that of most memory cards
            if target.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
            temporary.replace(target)
    with suppress(OSError):  # of Windows, and of file systems that cannot flush the names in a folder
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def printable(path: Path) -> str:
    """A name as any terminal can print it."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def readable_size(count: int) -> str:
    """Bytes as `812 B`, `46.3 kB` or `1.2 MB`."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"
