"""The pictures that commands read which write one file of many: names, and whole folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from aecodec.cli.files import UsageError
from aecodec.cli.naming import Inputs, search


def collect(paths: list[Path], kinds: list[Inputs]) -> list[Path]:
    """The named files, and the inputs below named folders in order of name. No file comes twice.

    Raises UsageError where a name does not exist or there is no file.
    """
    files = list(dict.fromkeys(file for path in paths for file in files_at(path, kinds)))
    if not files:
        wanted = " ".join(sorted(suffix for kind in kinds for suffix in kind.suffixes))
        names = ", ".join(map(str, paths))
        raise UsageError(f"{names}: nothing in there has a suffix of {wanted}: name a folder that has")
    return files


def files_at(path: Path, kinds: list[Inputs]) -> Iterator[Path]:
    """A file, or the inputs below a folder; raises UsageError where there is neither."""
    if path.is_dir():
        yield from sorted({file.source for kind in kinds for file in search(path, kind)})
    elif path.exists():
        yield path
    else:
        raise UsageError(f"{path} does not exist: name pictures or folders")
