"""Colours as code points of ITU-T H.273, which PNG's cICP, AVIF's nclx and the box of colour hold."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NCLX = b"colrnclx"
UNSPECIFIED = 2
BT709 = 1
SRGB = 13
SDR = {1, 6, 14, 15}  # transfers of video: screens and browsers show them about as they show sRGB
HDR = {16: "PQ", 18: "HLG"}
GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
D65 = (0.3127, 0.3290)
C = (0.310, 0.316)
PRIMARIES = {  # name; x, y of red, green, blue and white (H.273, table 2)
    1: ("BT.709", ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), D65)),
    4: ("BT.470M", ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), C)),
    5: ("BT.601 (625)", ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), D65)),
    6: ("BT.601 (525)", ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65)),
    7: ("SMPTE 240M", ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65)),
    9: ("BT.2020", ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65)),
    11: ("DCI-P3", ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351))),
    12: ("Display P3", ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65)),
}
D50 = np.array([0.9642, 1.0, 0.8249])  # white of ICC profiles
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
SRGB_CURVE = 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045  # parametricCurveType 3
LENGTH = 4


@dataclass(frozen=True, slots=True)
class Colour:
    """What red, green and blue are, and how samples grow with light."""

    primaries: int
    transfer: int

    @property
    def name(self) -> str:
        primaries = PRIMARIES[self.primaries][0] if self.primaries in PRIMARIES else str(self.primaries)
        curves = {SRGB: "sRGB's curve", **HDR, **{code: f"gamma {gamma:g}" for code, gamma in GAMMAS.items()}}
        curves |= dict.fromkeys(SDR, "the curve of video")
        return f"{primaries} with {curves.get(self.transfer, f'transfer {self.transfer}')}"

    @property
    def is_srgb(self) -> bool:
        """Whether the code points are those of sRGB, or unspecified."""
        return self.primaries in (BT709, UNSPECIFIED) and self.transfer in (SRGB, UNSPECIFIED)

    @property
    def looks_like_srgb(self) -> bool:
        return self.primaries in (BT709, UNSPECIFIED) and self.transfer in (SRGB, UNSPECIFIED, *SDR)

    def of_gray(self) -> Colour:
        """Colours that have the same grays: under a white of D65 these are the same in all primaries."""
        white = PRIMARIES[self.primaries][1][3] if self.primaries in PRIMARIES else None
        return Colour(BT709, self.transfer) if white == D65 else self

    @property
    def is_hdr(self) -> bool:
        return self.transfer in HDR


def pack(colour: Colour) -> bytes:
    """The box, which is the content of a cICP chunk: of RGB samples in their full range."""
    return bytes([colour.primaries, colour.transfer, 0, 1])


def unpack(box: bytes) -> Colour:
    """The colours in a box; raises ValueError."""
    if len(box) != LENGTH or box[2:] != b"\0\1":
        raise ValueError(f"it is not {LENGTH} bytes that describe RGB in its full range")
    return Colour(box[0], box[1])


def of_cicp(content: Any) -> Colour | None:
    """The colours in a PNG's cICP chunk, which Pillow images have in `info`; None where it is not of RGB."""
    try:
        return unpack(content)
    except (TypeError, ValueError):
        return None


def of_avif(data: bytes) -> Colour | None:
    """The colours in the first nclx property of an AVIF file (ISO/IEC 14496-12, 12.1.5)."""
    place = data.find(NCLX)
    if place < 0 or len(data) < place + 12:
        return None
    primaries, transfer = struct.unpack_from(">HH", data, place + len(NCLX))
    return Colour(primaries, transfer) if max(primaries, transfer) < 256 else None


def in_avif(data: bytes, colour: Colour) -> bytes:
    """The AVIF file with these colours in its nclx property."""
    changed, place = bytearray(data), data.find(NCLX)
    if place >= 0:
        struct.pack_into(">HH", changed, place + len(NCLX), colour.primaries, colour.transfer)
    return bytes(changed)


def profile(colour: Colour) -> bytes | None:
    """An ICC profile (ICC.1:2022) of these colours; None where primaries or transfer have none."""
    if colour.primaries not in PRIMARIES or not (curve := curve_of(colour.transfer)):
        return None
    primaries = np.array(PRIMARIES[colour.primaries][1])
    xyz = np.stack([primaries[:, 0], primaries[:, 1], 1 - primaries.sum(1)], axis=1) / primaries[:, 1:]
    adapted = adaptation(xyz[3])
    columns = adapted @ (xyz[:3].T * np.linalg.solve(xyz[:3].T, xyz[3]))
    tags = {
        b"desc": localised(colour.name),
        b"cprt": localised("No copyright, use freely"),
        b"wtpt": b"XYZ \0\0\0\0" + fixed(D50),
        b"chad": b"sf32\0\0\0\0" + fixed(adapted),
        **{
            name: b"XYZ \0\0\0\0" + fixed(columns[:, i]) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))
        },
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    return assembled(tags)


def curve_of(transfer: int) -> bytes:
    """A parametric curve; empty for transfers that no such curve describes."""
    if transfer in (SRGB, UNSPECIFIED, *SDR):
        return b"para\0\0\0\0\0\3\0\0" + fixed(np.array(SRGB_CURVE))
    return b"para\0\0\0\0\0\0\0\0" + fixed(np.array([GAMMAS[transfer]])) if transfer in GAMMAS else b""


def adaptation(white: Floats) -> Floats:
    """The matrix (3, 3) that turns XYZ under a white into XYZ under D50, by Bradford's cones."""
    gains = (BRADFORD @ D50) / (BRADFORD @ white)
    adapted: Floats = np.linalg.inv(BRADFORD) @ np.diag(gains) @ BRADFORD
    return adapted


def fixed(values: Floats) -> bytes:
    """Numbers as s15Fixed16."""
    return bytes(np.rint(values.ravel() * 2**16).astype(">i4").tobytes())


def localised(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(encoded), 28) + encoded


def assembled(tags: dict[bytes, bytes]) -> bytes:
    """A display profile of RGB with these tags; equal ones are stored once."""
    contents = list(dict.fromkeys(tags.values()))
    padded = [content + bytes(-len(content) % 4) for content in contents]
    first = 128 + 4 + 12 * len(tags)
    starts = [first + sum(map(len, padded[:i])) for i in range(len(padded))]
    offsets = {content: (start, len(content)) for content, start in zip(contents, starts, strict=True)}
    table = struct.pack(">I", len(tags)) + b"".join(
        name + struct.pack(">II", *offsets[content]) for name, content in tags.items()
    )
    size = first + sum(map(len, padded))
    head = struct.pack(">I4sI", size, b"", 0x04400000) + b"mntrRGB XYZ "
    head += struct.pack(">6H", 2025, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + fixed(D50)
    return b"".join(chain([head.ljust(128, b"\0"), table], padded))
