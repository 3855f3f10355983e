"""Names, reading and writing of the files that commands work on."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUFFIX = ".aec"


class UsageError(Exception):
    """The command was called in a way that cannot work; its text says how to call it."""


def choose_output(source: Path, output: Path | None, suffix: str, force: bool) -> Path:
    """OUT, or IN with another suffix, links followed; raises UsageError where it must not be written."""
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
        if not chosen.parent.is_dir():
            raise UsageError(f"{chosen.parent} is no directory: create it first")
    except (OSError, ValueError) as error:
        raise UsageError(f"{output or source}: no output can be named so: {error}") from error
    return chosen


@contextmanager
def concerning(path: Path) -> Iterator[None]:
    """Errors raised on purpose within name the file that they concern."""
    from codec import AecodecError

    try:
        yield
    except AecodecError as error:
        raise type(error)(f"{path}: {error}") from error


def read_bytes(source: Path) -> bytes:
    """The content of a file; an AecodecError where it cannot be read."""
    from codec import AecodecError

    try:
        return source.read_bytes()
    except OSError as error:
        raise AecodecError(f"cannot be read: {error.strerror}") from error


def write_atomically(target: Path, data: bytes, force: bool) -> None:
    """Write through a temporary file beside the target, so that no half-written file has its name.

    Without `force` a file that has appeared under that name in the meantime stays, an AecodecError is raised.
    """
    from codec import AecodecError

    temporary = None
    try:
        mode = target.stat().st_mode if target.exists() else 0o666 & ~current_umask()
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".aecodec-", delete=False) as file:
            temporary = Path(file.name)
            file.write(data)
        temporary.chmod(mode)
        if force:
            temporary.replace(target)
        else:
            os.link(temporary, target)
    except OSError as error:
        raise AecodecError(f"{target}: cannot be written: {error.strerror}") from error
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)


def current_umask() -> int:
    """The permissions that new files of this process lack."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def readable_size(count: int) -> str:
    """Bytes as `812 B`, `46.3 kB` or `1.2 MB`."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"
