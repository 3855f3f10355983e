"""Photographs for training: checked once, decoded as they are drawn, and cut into random crops."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aecodec.errors import AecodecError
from aecodec.picture.alpha import fill_hidden
from aecodec.plain_reading import read_plainly
from aecodec.signatures import READABLE_SUFFIXES

# Bytes of decoded pictures that stay in memory, about 1 400 of a megapixel. Others are decoded each time they
# are drawn, which takes some 30 ms.
MEMORY = 4 * 2**30

Pixels = NDArray[np.uint8]  # (H, W, 3)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file: on its own, a part of an archive, or, of a compressed archive, its bytes."""

    name: str
    path: Path
    offset: int = 0
    size: int = -1  # bytes; -1 for all that follow
    data: bytes | None = None

    def read(self) -> bytes:
        if self.data is not None:
            return self.data
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)

    def decode(self, data: bytes | None = None) -> Pixels:
        """Its pixels as the codec gets them, of 8 bits and upright; raises AecodecError for no picture."""
        try:
            return fill_hidden(read_plainly(io.BytesIO(data or self.read()))).pixels
        except AecodecError as error:
            raise type(error)(f"{self.name}: {error}") from error

    def check(self) -> tuple[Pixels, bytes]:
        """Its pixels, and the SHA-256 of its bytes."""
        data = self.read()
        return self.decode(data), hashlib.sha256(data).digest()


def image_files(sources: list[Path]) -> Iterator[ImageFile]:
    """Every image file in folders (searched deeply), tar archives and single files, in order."""
    for source in sources:
        if source.is_dir():
            for path in sorted(source.rglob("*")):
                if path.suffix.lower() in READABLE_SUFFIXES and path.is_file():
                    yield ImageFile(str(path), path)
        elif is_archive(source):
            yield from members(source)
        else:
            yield ImageFile(str(source), source)


@contextmanager
def archive_errors(path: Path) -> Iterator[None]:
    """A context in which what is wrong with an archive is an AecodecError, whichever library finds it."""
    try:
        yield
    except (tarfile.TarError, LZMAError, OSError, EOFError, zlib.error) as error:
        if getattr(error, "errno", None):  # of the file system, not of what is in the file
            raise
        raise AecodecError(f"{path} is no whole archive ({error}): get a sound copy") from error


def is_archive(path: Path) -> bool:
    """Whether a file is a tar archive; raises AecodecError for one that is cut in its first part."""
    with archive_errors(path):
        return tarfile.is_tarfile(path)


def members(path: Path) -> Iterator[ImageFile]:
    """The image files in a tar archive; raises AecodecError for one that does not end with its mark."""
    with archive_errors(path), tarfile.open(path) as archive:
        plain = type(archive.fileobj) is io.BufferedReader  # so that offsets are those of the file
        for member in archive:
            file = archive.extractfile(member)
            if not file or Path(member.name).suffix.lower() not in READABLE_SUFFIXES:
                continue
            name = f"{member.name} in {path}"
            if plain and member.isreg() and not member.issparse():
                yield ImageFile(name, path, member.offset_data, member.size)
            else:
                yield ImageFile(name, path, data=file.read())
        archive.fileobj.seek(archive.offset)  # where tarfile has stopped, whatever stands there
        if archive.fileobj.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
            raise tarfile.ReadError("it is cut or damaged between files, or made without a mark of its end")


class Photographs(Sequence[Pixels]):
    """The pictures of folders, archives and files, in order; those beyond MEMORY are decoded anew each time.

    All are read once at the start. Raises AecodecError for one that is no picture, and where there is none.
    """

    def __init__(self, sources: list[Path]) -> None:
        self.files = list(image_files(sources))
        if not self.files:
            names = ", ".join(map(str, sources))
            raise AecodecError(f"no images in {names}: name folders, archives or files")
        self.sides: list[tuple[int, int]] = []  # heights and widths
        self.in_memory: dict[int, Pixels] = {}
        digest, room = hashlib.sha256(), MEMORY
        with ThreadPoolExecutor() as pool:
            for number, (pixels, file_digest) in enumerate(pool.map(ImageFile.check, self.files)):
                self.sides.append((pixels.shape[0], pixels.shape[1]))
                digest.update(file_digest)
                if pixels.nbytes <= room:
                    self.in_memory[number] = pixels
                    room -= pixels.nbytes
        self.digest = digest.hexdigest()  # of the files' contents, in order

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, place: int) -> Pixels: ...
    @overload
    def __getitem__(self, place: slice) -> list[Pixels]: ...
    def __getitem__(self, place: int | slice) -> Pixels | list[Pixels]:
        if isinstance(place, slice):
            return [self[number] for number in range(len(self))[place]]
        number = range(len(self))[place]
        return self.in_memory[number] if number in self.in_memory else self.files[number].decode()


def sides_of(images: Sequence[Pixels]) -> list[tuple[int, int]]:
    """Height and width of each image."""
    if isinstance(images, Photographs):
        return images.sides
    return [(image.shape[0], image.shape[1]) for image in images]


def digest_of(images: Sequence[Pixels]) -> str:
    """A SHA-256 by which a run knows its data again: of files' contents, or of pixels without files."""
    if isinstance(images, Photographs):
        return images.digest
    return hashlib.sha256(b"".join(hashlib.sha256(image.tobytes()).digest() for image in images)).hexdigest()


class Crops:
    """Random square crops of images, drawn in proportion to their pixels, flipped and turned."""

    def __init__(self, images: Sequence[Pixels], largest: int, seed: int) -> None:
        sides = sides_of(images)
        self.images = images
        self.large = [number for number, both in enumerate(sides) if min(both) >= largest]
        if not self.large:
            raise AecodecError(f"no image is at least {largest} pixels wide and high: add larger ones")
        pixels = np.array([sides[number][0] * sides[number][1] for number in self.large], dtype=np.float64)
        self.share = pixels / pixels.sum()
        self.random = np.random.default_rng(seed)

    def crop(self, size: int) -> Pixels:
        image = self.images[self.large[self.random.choice(len(self.large), p=self.share)]]
        top, left = (int(self.random.integers(side - size + 1)) for side in image.shape[:2])
        crop = image[top : top + size, left : left + size]
        if self.random.random() < 0.5:
            crop = crop[:, ::-1]
        return crop.transpose(1, 0, 2) if self.random.random() < 0.25 else crop

    def batch(self, count: int, size: int) -> Tensor:
        """Images (count, 3, size, size) in [0, 1]."""
        return to_tensor(np.stack([self.crop(size) for _ in range(count)]))


def to_tensor(images: NDArray[np.uint8]) -> Tensor:
    """Images (B, H, W, 3) as bytes -> (B, 3, H, W) in [0, 1], channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
