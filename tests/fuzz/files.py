"""Valid files, tiny, and ways to break them that know where their fields are."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from random import Random

import numpy as np
from PIL import Image

from aecodec.arrays import Pixels
from aecodec.container import MAX_PIXELS, Box, Container, Stages, parse, read_fields, serialise
from aecodec.encoder.options import TUNED
from aecodec.encoder.quantisation import quantised
from aecodec.fields import Reader, write_varint
from aecodec.model.registry import model_named
from aecodec.picture import code_points, text, to_gray
from aecodec.picture.clipping import Clipping, write_clipping
from aecodec.picture.lossless import write_pixels, write_tiles
from aecodec.restoration import networks
from aecodec.restoration.enhancement import NETWORK as ENHANCE
from aecodec.restoration.upscaling import network_name
from tests.common import METADATA, noise, photograph, write_latents

CHECKSUM_BYTES = 4
EDGES = (0, 1, 2, 32, 33, 127, 128, 10000, 10001, 16383, 16384, 2**16 - 1, 2**24 - 1, 2**24, 2**28, 2**35 - 1)
BYTES = (b"", b"\0", b"\xff", b"\x80\x00", b"\xff" * 4, b"\xff" * 5, b"\xff" * 6, bytes(300))


def seeds() -> dict[str, bytes]:
    """A valid file of each kind, made with the installed model."""
    alpha = {Box.ALPHA: write_pixels(noise(70, 33)[:, :, 0])}
    said = text.Text(
        (text.TextChunk("Title", "cat"),), b"hello", b"\x1c\2x\0\3cat", (Fraction(72), Fraction(72))
    )
    skippable = {Box.TEXT: text.pack(said), Box.COLOUR: code_points.pack(code_points.Colour(12, 13))}
    small = io.BytesIO()
    Image.fromarray(photograph(40, 24)).save(small, "WEBP")
    boxes = {**METADATA, **alpha, **skippable}
    return {
        "dot": learned(photograph(1, 1), 0),
        "photograph": learned(photograph(40, 24), 50),
        "tuned for the eye": learned(photograph(40, 24), 50, tune="visual"),
        "noise": learned(noise(33, 7), 100),
        "gray shown as RGB": learned(to_gray(photograph(33, 70)), 50, gray=True, gray_as_rgb=True),
        "white and black": learned(photograph(100, 20), 50, boxes={Box.CLIPPING: clipping(100, 20)}),
        "thin": learned(photograph(1, 700), 30),
        "enhanced and enlarged": staged(learned(photograph(20, 12), 30)),
        "everything": learned(photograph(70, 33), 20, gray=True, boxes={**METADATA, **alpha}),
        "of a later release": later(learned(photograph(33, 40), 60)),
        "lossless": lossless(photograph(9, 7)),
        "lossless with everything": lossless(photograph(70, 33), gray=True, boxes=boxes),
        "lossless with a thumbnail": lossless(photograph(80, 48), boxes={Box.THUMBNAIL: small.getvalue()}),
        "lossless in tiles": tiled(np.tile(photograph(17, 2), (1, 242, 1))),
    }


def staged(data: bytes) -> bytes:
    """A file that its decoder enhances and enlarges, to twice its size less a pixel."""
    container = parse(data)
    stages = Stages(
        enhance=networks.fingerprint(ENHANCE), scale=2, upscale=networks.fingerprint(network_name(2))
    )
    sides = {"width": 2 * container.width - 1, "height": 2 * container.height - 1}
    return serialise(replace(container, stages=stages, **sides))


def later(data: bytes) -> bytes:
    """A file with boxes and stages of a later release, which may be skipped."""
    boxes = {kind: bytes(kind % 7) for kind in range(140, 155)}
    return serialise(
        replace(parse(data), stages=Stages(9, unknown=((132, b"new"), (140, b""))), unknown=boxes)
    )


def clipping(width: int, height: int) -> bytes:
    """A box of white and black that uses all that there is."""
    whole = np.indices((-(-height // 8), -(-width // 8))).sum(0) % 3 == 0
    return write_clipping((Clipping(2, True), Clipping(5, False, 8, whole)))


def tiled(pixels: Pixels) -> bytes:
    """The lossless file of a picture (H, W, 3) with alpha in tiles."""
    height, width = pixels.shape[:2]
    return serialise(Container(width, height, False, write_tiles(pixels, pixels[..., 0]), tiled=True))


def learned(
    pixels: Pixels,
    quality: float,
    gray: bool = False,
    boxes: dict[Box, bytes] | None = None,
    tune: str = "psnr",
    gray_as_rgb: bool = False,
) -> bytes:
    """The learned file of a picture (H, W, 3), however well lossless coding would serve it."""
    model = model_named(TUNED[tune])
    latents = quantised(model, pixels, quality).latents
    header, payload = write_latents(model, latents)
    header = replace(header, gray_as_rgb=gray_as_rgb)
    stages = Stages(noise=12) if boxes else Stages()
    return serialise(Container(pixels.shape[1], pixels.shape[0], gray, payload, header, boxes or {}, stages))


def lossless(pixels: Pixels, gray: bool = False, boxes: dict[Box, bytes] | None = None) -> bytes:
    """The lossless file of a picture (H, W, 3)."""
    payload = write_pixels(pixels)
    return serialise(Container(pixels.shape[1], pixels.shape[0], gray, payload, None, boxes or {}))


class Recorder(Reader):
    """A reader that remembers what it read, field by field."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.fields: list[tuple[str, bytes]] = []

    def take(self, count: int, what: str) -> bytes:
        piece = super().take(count, what)
        if self.fields and self.fields[-1][0] == what:  # the bytes of a varint
            self.fields[-1] = what, self.fields[-1][1] + piece
        else:
            self.fields.append((what, piece))
        return piece


def fields(data: bytes) -> list[tuple[str, bytes]]:
    """The fields of a valid file, each with its name, without the checksum."""
    recorder = Recorder(data)
    recorder.take(4, "magic")
    read_fields(recorder, MAX_PIXELS)
    return recorder.fields


def sealed_again(data: bytes) -> bytes:
    """A file with the checksum that its bytes ask for, so that damage reaches what is behind it."""
    body = data[:-CHECKSUM_BYTES]
    return body + zlib.crc32(body).to_bytes(CHECKSUM_BYTES, "little")


def joined(pieces: list[bytes]) -> bytes:
    """The file of some fields, its checksum right."""
    return sealed_again(b"".join(pieces) + bytes(CHECKSUM_BYTES))


def each_field_broken(data: bytes) -> Iterator[tuple[str, bytes]]:
    """A file with each field, in turn, set to edges, damaged, missing, doubled or exchanged with the next."""
    pieces = [piece for _, piece in fields(data)]
    for place, (name, piece) in enumerate(fields(data)):
        others = [*map(write_varint, EDGES), *BYTES, piece[:-1], piece + b"\0", piece * 2]
        others.append(damaged(Random(place), piece))
        for other in others:
            yield name, joined([*pieces[:place], other, *pieces[place + 1 :]])
        exchanged = pieces.copy()
        exchanged[place : place + 2] = reversed(exchanged[place : place + 2])
        yield name, joined(exchanged)


def each_field_of_another(data: bytes, other: bytes) -> Iterator[tuple[str, bytes]]:
    """A file with each field, in turn, replaced by the field of that name in another file."""
    pieces, theirs = [piece for _, piece in fields(data)], dict(fields(other))
    for place, (name, _) in enumerate(fields(data)):
        if name in theirs:
            yield name, joined([*pieces[:place], theirs[name], *pieces[place + 1 :]])
    payload = [write_varint(len(theirs["payload"])), theirs["payload"]]
    yield "payload with its length", joined([*pieces[:-2], *payload])


def broken(random: Random, data: bytes) -> bytes:
    """A valid file after one to four breakages of its fields, its checksum right."""
    pieces = [piece for _, piece in fields(data)]
    for _ in range(random.randint(1, 4)):
        place, other = random.randrange(len(pieces)), random.randrange(len(pieces))
        match random.randrange(7):
            case 0:
                pieces[place] = write_varint(random.choice(EDGES))
            case 1:
                pieces[place] = damaged(random, pieces[place])
            case 2:
                pieces[place] = random.randbytes(random.choice((len(pieces[place]), random.randrange(64))))
            case 3:
                pieces[place], pieces[other] = pieces[other], pieces[place]
            case 4:
                pieces[place:place] = pieces[other : other + 3]  # as many fields as a box has
            case 5 if len(pieces) > 1:
                del pieces[place]
            case _:
                pieces[place] = pieces[place][: random.randrange(len(pieces[place]) + 1)]
    return joined(pieces)


def damaged(random: Random, data: bytes) -> bytes:
    """Bytes of which one to eight were changed, if there are any."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 8) if data else 0):
        changed[random.randrange(len(changed))] = random.choice((0, 1, 127, 128, 255, random.randrange(256)))
    return bytes(changed)


def mutated(random: Random, data: bytes) -> bytes:
    """A valid file that was broken by its fields, or damaged anywhere with a right or a wrong checksum."""
    kind = random.randrange(4)
    if kind < 2:
        return broken(random, data)
    changed = damaged(random, data)
    return sealed_again(changed) if kind == 2 else changed
