"""The file of vectors that `aecodec embed` writes: an npz archive of arrays, which is read without pickle.

names (N,) text; sizes (N,) int64, bytes of each file, and times (N,) int64, nanoseconds, by which --resume
knows it; vectors (N, 63) float32; crops (N, 18, 63) float16; thumbnails (N, 32, 32, 3) uint8; format, a
number.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aecodec.arrays import Floats
from aecodec.errors import AecodecError
from aecodec.uses.embedding import CROPS, SIZE, THUMBNAIL, Embedding

FORMAT = 1
POSITIONS = 9 * len(CROPS)  # crops of a picture
PARTS: dict[
    str, tuple[str, type, tuple[int, ...]]
] = {  # by name of the array: the embedding's, its type, shape
    "vectors": ("vector", np.float32, (SIZE,)),
    "crops": ("crops", np.float16, (POSITIONS, SIZE)),
    "thumbnails": ("thumbnail", np.uint8, (THUMBNAIL, THUMBNAIL, 3)),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as it was when its embedding was made."""

    name: str
    size: int
    time: int

    @classmethod
    def of(cls, path: Path) -> Entry:
        """The entry of a file; raises OSError."""
        status = path.stat()
        return cls(str(path), status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Library:
    """Embeddings by file, in the order in which they were added."""

    embeddings: dict[Entry, Embedding] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return [entry.name for entry in self.embeddings]

    def stacked(self, name: str) -> NDArray[Any]:
        """The arrays that PARTS has under a name, of all embeddings, stacked in one array."""
        part, dtype, shape = PARTS[name]
        arrays = [getattr(embedding, part) for embedding in self.embeddings.values()]
        return np.asarray(arrays, dtype).reshape(len(arrays), *shape)


def to_bytes(library: Library) -> bytes:
    """The npz archive of embeddings."""
    file, entries = io.BytesIO(), list(library.embeddings)
    arrays: dict[str, Any] = {name: library.stacked(name) for name in PARTS}
    # It is not compressed: of 100 000 pictures that takes 30 s, not 2.5, each time, and saves a tenth.
    np.savez(
        file,
        format=np.array(FORMAT),
        names=np.array([entry.name for entry in entries], np.str_),
        sizes=np.array([entry.size for entry in entries], np.int64),
        times=np.array([entry.time for entry in entries], np.int64),
        **arrays,
    )
    return file.getvalue()


def from_bytes(data: bytes) -> Library:
    """The embeddings in an npz archive; raises AecodecError for what `embed` did not write."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            if int(arrays["format"]) != FORMAT:
                raise AecodecError(f"has format {int(arrays['format'])}, not {FORMAT}: embed the files anew")
            names = arrays["names"].tolist()
            records = zip(names, arrays["sizes"].tolist(), arrays["times"].tolist(), strict=True)
            entries = [Entry(str(name), int(size), int(time)) for name, size, time in records]
            parts = {name: arrays[name].reshape(len(names), *PARTS[name][2]) for name in PARTS}
    except (KeyError, TypeError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise AecodecError(
            f"is no sound file of vectors ({type(error).__name__}): embed the files anew, without --resume"
        ) from error
    crops: Floats = parts["crops"].astype(np.float32)
    rows = zip(parts["vectors"], crops, parts["thumbnails"], strict=True)
    return Library(dict(zip(entries, (Embedding(*row) for row in rows), strict=True)))
