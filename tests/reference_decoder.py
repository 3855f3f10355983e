"""A decoder written from docs/format.md alone, simple rather than fast: it imports nothing of the package.

python tests/reference_decoder.py PICTURE.aec PICTURE.png
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import, or it reports to its maker

import onnxruntime  # noqa: TID251

PACKAGE = Path(__file__).parent.parent / "codec"
MAGIC = b"\xaeC\r\n"
LEARNED, WEBP, TILES = range(3)  # codings
ALPHA, STAGES, CLIPPING = 4, 5, 8  # boxes that change pixels
KNOWN_BOXES = {1, 2, 3, ALPHA, STAGES, 6 | 128, 7 | 128, CLIPPING}
DECODER = ("tables.npz", "first_means.onnx", "second_means.onnx", "third_means.onnx", "synthesis.onnx")
RATIOS = (6, 16, 26, 35, 45, 54, 64, 77, 93, 115, 147, 192, 288)
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass
class File:
    """The fields of a container."""

    coding: int
    gray: bool
    width: int
    height: int
    payload: bytes = b""
    boxes: dict[int, bytes] = field(default_factory=dict)
    skipped: list[int] = field(default_factory=list)
    skipped_stages: list[int] = field(default_factory=list)
    fingerprint: bytes = b""
    quality: int = 0  # hundredths
    gray_as_rgb: bool = False
    cdf_set: int = 0
    enhance: bytes = b""
    scale: int = 1
    upscale: bytes = b""

    @property
    def coded_size(self) -> tuple[int, int]:
        """Height and width."""
        return -(-self.height // self.scale), -(-self.width // self.scale)


class Bytes:
    """Bytes that are taken from the front."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def take(self, count: int) -> bytes:
        if self.place + count > len(self.data):
            raise ValueError("the file ends early")
        self.place += count
        return self.data[self.place - count : self.place]

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self, most: int = 5) -> int:
        value = 0
        for group in range(most):
            byte = self.byte()
            value |= (byte & 127) << 7 * group
            if byte < 128:
                if group and not byte:
                    raise ValueError("a varint is not in its shortest form")
                return value
        raise ValueError("a varint is too long")

    @property
    def left(self) -> bool:
        return self.place < len(self.data)


def read_file(data: bytes) -> File:
    """The container."""
    source = Bytes(data)
    if source.take(4) != MAGIC:
        raise ValueError("another magic")
    kind = source.byte()
    if kind >> 4 != 1 or kind & 3 == 3:
        raise ValueError("another version or coding")
    file = File(kind & 3, bool(kind & 4), source.varint(4), source.varint(4))
    if file.coding == LEARNED:
        file.fingerprint = source.take(4)
        quality = int.from_bytes(source.take(2), "little")
        if quality >> 15:
            raise ValueError("the learned header is extended")
        file.quality, file.gray_as_rgb = quality & 0x3FFF, bool(quality & 0x4000)
        file.cdf_set = source.byte()
    if kind & 8:
        read_boxes(source, file)
    file.payload = source.take(source.varint())
    checksum = zlib.crc32(data[: source.place])
    if int.from_bytes(source.take(4), "little") != checksum or source.left:
        raise ValueError("a wrong checksum, or bytes behind it")
    return file


def read_boxes(source: Bytes, file: File) -> None:
    for _ in range(source.byte()):
        kind = source.byte()
        content = source.take(source.varint())
        if kind in KNOWN_BOXES:
            file.boxes[kind] = content
        elif kind & 128:
            file.skipped.append(kind)
        else:
            raise ValueError(f"box type {kind} is unknown")
    stages = Bytes(file.boxes.get(STAGES, b""))
    while stages.left:
        kind = stages.byte()
        if kind == 1:
            stages.byte()
        elif kind == 2:
            file.enhance = stages.take(4)
        elif kind == 3:
            file.scale, file.upscale = stages.byte(), stages.take(4)
        elif kind & 128:
            stages.take(stages.varint())
            file.skipped_stages.append(kind)
        else:
            raise ValueError(f"stage {kind} is unknown")


class Stack:
    """The entropy coder."""

    def __init__(self, payload: bytes) -> None:
        if len(payload) % 4 or (payload and payload[-4:] == bytes(4)):
            raise ValueError("the payload is no stream")
        self.words: list[int] = np.frombuffer(payload, "<u4").tolist()
        self.x = 0
        while self.x < 2**32 and self.words:
            self.x = 2**32 * self.x + self.words.pop()

    def pop(self, cumulative: list[int]) -> int:
        r = self.x % 2**24
        code = int(np.searchsorted(cumulative, r, side="right")) - 1
        self.x = self.x // 2**24 * (cumulative[code + 1] - cumulative[code]) + r - cumulative[code]
        if self.x < 2**32 and self.words:
            self.x = 2**32 * self.x + self.words.pop()
        return code


UNIFORM = [256 * k for k in range(2**16 + 1)]


def frequencies(counts: NDArray[np.uint32]) -> list[int]:
    """Cumulative frequencies of counts."""
    below = [0, *np.cumsum(counts.astype(np.int64)).tolist()]
    n = len(counts)
    return [k + below[k] * (2**24 - n) // below[n] for k in range(n + 1)]


class Model:
    """The tables of a model, and its networks."""

    def __init__(self, fingerprint: bytes) -> None:
        self.folder = next(
            folder for folder in (PACKAGE / "models").iterdir() if fingerprint_of(folder) == fingerprint
        )
        with np.load(self.folder / "tables.npz") as arrays:
            self.arrays: dict[str, NDArray[Any]] = dict(arrays)
        if int(self.arrays.get("format", 1)) != 1:
            raise ValueError("the tables are of another format")
        self.z_low, self.skip_below = int(self.arrays["z_low"]), int(self.arrays["first_level"])
        self.span = self.arrays["z_counts"].shape[2] // 2
        support: Ints = self.arrays["y_reach"].astype(np.int64)
        self.support = support
        self.y_starts = np.concatenate([[0], np.cumsum(2 * support + 2)])

    def offset(self, name: str, quality: int) -> Ints:
        """A row of offsets at a quality."""
        rows = self.arrays[name].astype(np.int64)
        p, f = divmod(quality * (len(rows) - 1), 10000)
        following = rows[p + 1] if f else rows[p]
        row: Ints = (rows[p] * (10000 - f) + following * f + 5000) // 10000
        return row

    def network(self, name: str, quality: int, **inputs: Floats) -> list[Floats]:
        level = np.array([quality / 100], np.float32)
        return run(self.folder / f"{name}.onnx", quality=level, **{k: v[None] for k, v in inputs.items()})


def fingerprint_of(folder: Path) -> bytes:
    sums = [hashlib.sha256((folder / name).read_bytes()).digest() for name in DECODER]
    return hashlib.sha256(b"".join(sums)).digest()[:4]


def run(path: Path, **inputs: Floats) -> list[Floats]:
    """The outputs of a network, without their first dimension."""
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return [output[0] for output in session.run(None, inputs)]


def decode_hyper_latent(model: Model, stack: Stack, file: File, h: int, w: int) -> Ints:
    """z (Z, h, w)."""
    in_place, around = (model.arrays[name].astype(np.int64) for name in ("z_in_place", "z_around"))
    channels = in_place.shape[1]
    offset = model.offset("z_offset", file.quality).reshape(3, channels)
    z: Ints = np.zeros((channels, h, w), np.int64)
    for number in range(3):
        positions = [(r, c) for r in range(h) for c in range(w) if hyper_pass(r, c) == number]
        means = [neighbour_mean(z, number, r, c) for r, c in positions]
        for channel in range(channels):
            coded = []
            for order, ((r, c), mean) in enumerate(zip(positions, means, strict=True)):
                e = 12 * offset[number, channel]
                e += 12 * (in_place[number, channel, :channel] * z[:channel, r, c]).sum()
                e += (around[number - 1, channel] * mean).sum() if number else 0
                context = 88 * number + min(max(4 * e // 12288, -24), 63) + 24
                origin = min(max(e // 12288, model.z_low), model.z_low + model.span)
                coded.append((int(context), order, int(origin)))
            for context, order, origin in sorted(coded):
                code = stack.pop(frequencies(model.arrays["z_counts"][file.cdf_set, context]))
                value = code + origin - model.span
                if not model.z_low <= value <= model.z_low + model.span:
                    raise ValueError("a hyper-latent is out of range")
                z[(channel, *positions[order])] = value
    return z


def hyper_pass(row: int, column: int) -> int:
    return row % 2 if row % 2 == column % 2 else 2


def neighbour_mean(z: Ints, number: int, row: int, column: int) -> Ints:
    """12 times the mean (Z,) of the neighbours of a position that count in a pass."""
    _, h, w = z.shape
    beside = [(-1, 0), (1, 0), (0, -1), (0, 1)] if number == 2 else [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    inside = [(row + y, column + x) for y, x in beside if 0 <= row + y < h and 0 <= column + x < w]
    total: Ints = np.array([z[:, r, c] for r, c in inside]).sum(0) if inside else np.zeros(len(z), np.int64)
    return total * 12 // max(len(inside), 1)


def scale_indices(model: Model, z: Ints, quality: int) -> Ints:
    """(M, 2h, 2w)."""
    channels, h, w = z.shape
    padded = np.pad(z, ((0, 0), (1, 1), (1, 1)), mode="edge")
    weight, offset = model.arrays["scale_weight"].astype(np.int64), model.offset("scale_offset", quality)
    index: Ints = np.zeros((len(offset), 2 * h, 2 * w), np.int64)
    for row in range(h):
        for column in range(w):
            near = padded[:, row : row + 3, column : column + 3].reshape(9 * channels)
            sums = (weight @ near).reshape(-1, 2, 2) + offset[:, None, None]
            place = np.s_[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            index[place] = np.clip((sums + 128) // 256, 0, 63)
    return index


def passes_of(shape: tuple[int, ...]) -> Ints:
    """The pass of each position of y."""
    m, row, column = np.indices(shape)
    passes: Ints = np.where((m + row + column) % 2 == 1, 2, (row + m // 2) % 2)
    return passes


def sums_around(values: Ints) -> Ints:
    """Weighted sums of the values (M, 2h, 2w) around each position."""
    _, rows, columns = values.shape
    padded = np.pad(values, ((8, 8), (1, 1), (1, 1)))
    weights = {(0, y, x): 1 if y and x else 2 for y in (-1, 0, 1) for x in (-1, 0, 1)}
    weights |= {(m, 0, 0): 2 if abs(m) <= 3 else 1 for m in range(-8, 9)}
    del weights[0, 0, 0]
    total = np.zeros_like(values)
    for (m, y, x), weight in weights.items():
        total += weight * padded[8 + m :, 1 + y :, 1 + x :][: len(values), :rows, :columns]
    return total


def decode_symbols(model: Model, stack: Stack, index: Ints) -> Ints:
    """(M, 2h, 2w)."""
    arrays, passes = model.arrays, passes_of(index.shape)
    symbols = np.zeros_like(index)
    magnitude = np.where(index < model.skip_below, 0, arrays["magnitude"].astype(np.int64)[index])
    for number in range(3):
        adapted, known = index.copy(), passes < number
        if number:
            loud = sums_around(np.minimum(np.abs(symbols), 200) * known)
            due = sums_around(magnitude * known)
            column = np.searchsorted(RATIOS, (1024 * loud + 128) // (due + 2), side="right")
            adapted = np.clip(index + arrays["level_shift"].astype(np.int64)[index, column], 0, 63)
        coded = np.argwhere((passes == number) & (index >= model.skip_below))
        ordered = coded[np.argsort(adapted[tuple(coded.T)], kind="stable")]
        pop_pass(model, stack, symbols, adapted, ordered)
    return symbols


def pop_pass(model: Model, stack: Stack, symbols: Ints, adapted: Ints, ordered: Ints) -> None:
    """Pop the symbols of positions (n, 3) in their order."""
    tables: dict[int, list[int]] = {}
    escapes = []
    for place in map(tuple, ordered.tolist()):
        own = int(adapted[place])
        if own not in tables:
            counts = model.arrays["y_counts"][model.y_starts[own] : model.y_starts[own + 1]]
            tables[own] = frequencies(counts)
        code, support = stack.pop(tables[own]), int(model.support[own])
        symbols[place] = code - support
        if code == 2 * support + 1:
            escapes.append(place)
    for place in escapes:
        code = stack.pop(UNIFORM)
        if code == 0:
            raise ValueError("a symbol is out of range")
        symbols[place] = code - 2**15


def decode_stream(model: Model, file: File) -> tuple[Ints, Ints, Ints]:
    """z, scale indices and symbols."""
    stack = Stack(file.payload)
    h, w = (-(-side // 32) for side in file.coded_size)
    z = decode_hyper_latent(model, stack, file, h, w)
    index = scale_indices(model, z, file.quality)
    symbols = decode_symbols(model, stack, index)
    if stack.pop(UNIFORM) != 65535 or stack.x or stack.words:
        raise ValueError("the stream does not end with the picture")
    return z, index, symbols


def synthesise(model: Model, file: File, z: Ints, index: Ints, symbols: Ints) -> Floats:
    """The coded picture (H, W, 3), 0 to 255, not yet rounded."""
    step = (symbols - np.sign(symbols) * model.arrays["inward"][index]).astype(np.float32)
    passes = passes_of(index.shape)
    features, means = model.network("first_means", file.quality, z=z.astype(np.float32))
    known: Floats = np.zeros(index.shape, np.float32)
    for number, name in enumerate(("first_means", "second_means", "third_means")):
        if number:
            (means,) = model.network(name, file.quality, features=features, means=means, known=known)
        known = np.where(passes == number, means + step, known)
    (picture,) = model.network("synthesis", file.quality, y=known)
    height, width = file.coded_size
    samples: Floats = np.clip(picture[:, :height, :width], 0, 1).transpose(1, 2, 0) * np.float32(255)
    return samples


def to_bytes(samples: Floats) -> NDArray[np.uint8]:
    return np.rint(samples).astype(np.uint8)


def stage_network(name: str, fingerprint: bytes) -> Path:
    path = PACKAGE / "restoration" / "networks" / f"{name}.onnx"
    if hashlib.sha256(path.read_bytes()).digest()[:4] != fingerprint:
        raise ValueError(f"the network {name} is another")
    return path


def enhance(pixels: NDArray[np.uint8], fingerprint: bytes) -> Floats:
    """Samples (H, W, 3), 0 to 255."""
    height, width = pixels.shape[:2]
    wider = np.pad(pixels, ((0, -height % 8), (0, -width % 8), (0, 0)), mode="edge")
    image = wider.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
    (found,) = run(stage_network("enhance", fingerprint), image=image)
    return 255 * np.clip(found[:, :height, :width].transpose(1, 2, 0), 0, 1)


def upscale(pixels: NDArray[np.uint8], scale: int, fingerprint: bytes) -> Floats:
    """Samples (scale H, scale W, 3), 0 to 255."""
    small = pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    rows, columns = (bicubic_weights(side, scale) for side in pixels.shape[:2])
    large = (rows @ (small @ columns.T)).astype(np.float32)
    luma = np.array([0.299, 0.587, 0.114], np.float32)[:, None, None]
    before = (large * luma).sum(0, keepdims=True)
    path = stage_network(f"upscale{scale}", fingerprint)
    (after,) = run(path, luma=(small * luma).sum(0, keepdims=True)[None], enlarged=before[None])
    return 255 * np.clip(large + after - before, 0, 1).transpose(1, 2, 0)


def bicubic_weights(side: int, scale: int) -> NDArray[np.float64]:
    """The matrix (scale * side, side) that enlarges along an axis."""
    u = (np.arange(scale * side)[:, None] + 0.5) / scale
    t = np.abs(np.arange(side) + 0.5 - u)
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    weights = np.where(t < 1, near, np.where(t < 2, far, 0))
    return np.asarray(weights / weights.sum(1, keepdims=True))


def draw_clipping(file: File, samples: Floats) -> Floats:
    """White and black of the box."""
    box = Bytes(file.boxes.get(CLIPPING, b""))
    for end in (255, 0) if box.data else ():
        code = box.byte()
        reach, side = code & 15, (0, 8, 16)[code >> 4 & 3]
        whole = read_patches(box.take(box.varint()), file, side) if side else None
        distance = np.abs(end - samples)
        if reach:
            drawn = np.minimum(distance, np.maximum(0, 2 * (distance - reach)))
            if code & 64:
                distance = drawn
            elif whole is not None:
                distance = np.where(under(grown(whole), side, samples), drawn, distance)
        if whole is not None:
            distance = np.where(under(whole, side, samples), 0, distance)
        samples = np.abs(end - distance)
    return samples


def read_patches(data: bytes, file: File, side: int) -> NDArray[np.bool_]:
    """Which patches are whole."""
    rows, columns = -(-file.height // side), -(-file.width // side)
    whole: NDArray[np.bool_] = np.zeros(rows * columns, bool)
    runs, place, value = Bytes(zlib.decompress(data, -15)), 0, False
    while runs.left:
        length = runs.varint()
        whole[place : place + length] = value
        place, value = place + length, not value
    return whole.reshape(rows, columns)


def grown(whole: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whole patches and the eight around each."""
    rows, columns = whole.shape
    padded = np.pad(whole, 1)
    parts = [padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)]
    return np.asarray(np.logical_or.reduce(parts))


def under(patches: NDArray[np.bool_], side: int, samples: Floats) -> NDArray[np.bool_]:
    """Patches as pixels (H, W, 1)."""
    large = patches.repeat(side, 0).repeat(side, 1)
    return large[: samples.shape[0], : samples.shape[1], None]


def decode_learned(file: File) -> NDArray[np.uint8]:
    """Pixels (H, W, 3), before a gray picture is made of them."""
    model = Model(file.fingerprint)
    samples = synthesise(model, file, *decode_stream(model, file))
    if file.enhance:
        samples = enhance(to_bytes(samples), file.enhance)
    if file.upscale:
        samples = upscale(to_bytes(samples), file.scale, file.upscale)[: file.height, : file.width]
    return to_bytes(draw_clipping(file, samples))


def read_webp(data: bytes, width: int, height: int) -> NDArray[np.uint8]:
    """Samples (H, W, 3 or 4) of a lossless WebP."""
    if data[12:16] != b"VP8L":
        raise ValueError("a WebP is not lossless")
    with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
        if image.size != (width, height):
            raise ValueError("a WebP has another size")
        return np.asarray(image)


def read_lossless(payload: bytes, width: int, height: int, tiled: bool) -> NDArray[np.uint8]:
    """Samples (H, W, 3 or 4)."""
    if not tiled:
        return read_webp(payload, width, height)
    source, rows = Bytes(payload), []
    for top in range(0, height, 4096):
        row = []
        for left in range(0, width, 4096):
            data = source.take(source.varint())
            row.append(read_webp(data, min(4096, width - left), min(4096, height - top)))
        rows.append(np.concatenate(row, axis=1))
    if source.left:
        raise ValueError("bytes follow the last tile")
    return np.concatenate(rows)


def decode(data: bytes) -> Image.Image:
    """The picture of a file, of mode L, LA, RGB or RGBA."""
    file = read_file(data)
    size = file.width, file.height
    if file.coding == LEARNED:
        samples = decode_learned(file)
    else:
        samples = read_lossless(file.payload, *size, file.coding == TILES)
    pixels, alpha = samples[..., :3], samples[..., 3] if samples.shape[2] == 4 else None
    if ALPHA in file.boxes:
        tiled = max(size) > 16383 or size[0] * size[1] > 2**26
        alpha = read_lossless(file.boxes[ALPHA], *size, tiled)[..., 1]
    if file.gray:
        mean = np.floor(pixels.astype(np.float64).sum(2) / 3 + 0.5).astype(np.uint8)
        pixels = np.repeat(mean[..., None], 3, axis=2) if file.gray_as_rgb else mean
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if alpha is not None:
        image.putalpha(Image.fromarray(np.ascontiguousarray(alpha)))
    return image


if __name__ == "__main__":
    decode(Path(sys.argv[1]).read_bytes()).save(sys.argv[2])
