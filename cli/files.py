"""Names, reading and writing of the files that commands work on."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

SUFFIX = ".aec"


class UsageError(Exception):
    """The command was called in a way that cannot work; its text says how to call it."""


def choose_output(source: Path, output: Path | None, suffix: str, force: bool) -> Path:
    """OUT, or IN with another suffix; refuses IN itself, a directory, and an existing file unless `force`."""
    chosen = output or source.with_suffix(suffix)
    if chosen.is_dir():
        raise UsageError(f"{chosen} is a directory: name a file")
    if chosen.exists() and source.exists() and chosen.samefile(source):
        raise UsageError(f"{chosen} is the input: name another output")
    if chosen.exists() and not force:
        raise UsageError(f"{chosen} exists: name another output or pass --force")
    if not chosen.parent.is_dir():
        raise UsageError(f"{chosen.parent} is no directory: create it first")
    return chosen


def read_bytes(source: Path) -> bytes:
    """The content of a file; an AecodecError where it cannot be read."""
    from codec import AecodecError

    try:
        return source.read_bytes()
    except OSError as error:
        raise AecodecError(f"{source}: cannot be read: {error.strerror}") from error


def write_atomically(target: Path, data: bytes) -> None:
    """Write through a temporary file beside the target, so that no half-written file has its name."""
    from codec import AecodecError

    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            temporary = Path(file.name)
            try:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), 0o666 & ~current_umask())
                temporary.replace(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise AecodecError(f"{target}: cannot be written: {error.strerror}") from error


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
