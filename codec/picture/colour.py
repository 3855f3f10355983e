"""What a picture's colours mean: gamma, primaries, ICC profiles, inks."""

from __future__ import annotations

import io
from itertools import product
from math import isclose
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from aecodec.picture.code_points import UNSPECIFIED
from aecodec.picture.pillow_errors import MALFORMED

USUAL_GAMMA, GAMMA_TOLERANCE = 1 / 2.2, 0.05  # of a PNG; what differs less, by a share, looks the same
SRGB_CHROMATICITY = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)  # x, y of white, red, green, blue
CHROMATICITY_TOLERANCE = 0.01  # of each number; rounded ones, and BT.601 (625), differ less and look the same
UNSPECIFIED_COLOURS = bytes([UNSPECIFIED] * 2)  # of a cICP
SPACE = slice(16, 20)  # of an ICC profile: what its samples are
SIGNATURE = slice(36, 40)
SAMPLES = tuple(product((0, 64, 128, 192, 255), repeat=3))  # by which profiles are compared
SAME_COLOUR = 2  # levels of 255 by which they may differ


def notes_of_png_colours(image: Image.Image, cicp: Any) -> list[str]:
    """Notes of an unusual gAMA and cHRM of a PNG.

    Its cICP, its ICC profile and its sRGB chunk go before them (PNG, third edition, 4.3).
    """
    stated = isinstance(cicp, bytes) and cicp[:2] != UNSPECIFIED_COLOURS
    if stated or image.info.get("icc_profile") or "srgb" in image.info:
        return []
    notes, gamma, primaries = [], image.info.get("gamma"), image.info.get("chromaticity")
    if isinstance(gamma, float) and gamma and not isclose(gamma, USUAL_GAMMA, rel_tol=GAMMA_TOLERANCE):
        notes.append(f"its gamma of {gamma:g}, not 1/2.2, is left out: it may look lighter or darker")
    usual = SRGB_CHROMATICITY[: 2 if Image.getmodebase(image.mode) == "L" else None]  # gray has a white alone
    if isinstance(primaries, tuple) and any(
        abs(one - other) > CHROMATICITY_TOLERANCE for one, other in zip(primaries, usual, strict=False)
    ):
        notes.append("its primaries, not those of sRGB, are left out: its colours may look paler or richer")
    return notes


def fits(profile: bytes, gray: bool) -> bool:
    """Whether bytes are an ICC profile, and one of gray samples if `gray`, else of RGB."""
    return profile[SIGNATURE] == b"acsp" and profile[SPACE] == (b"GRAY" if gray else b"RGB ")


def is_srgb(profile: bytes) -> bool:
    """Whether colours look the same if they are read as sRGB, without the ICC profile."""
    gray = profile[SPACE] == b"GRAY"
    samples = np.array(SAMPLES, np.uint8)[None]
    image = Image.fromarray(samples[:, :, 0] if gray else samples)
    try:
        source, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        converted = ImageCms.profileToProfile(image, source, srgb, renderingIntent=intent, outputMode="RGB")
    except (ImageCms.PyCMSError, *MALFORMED):
        return False
    difference = np.asarray(converted).astype(int) - np.asarray(image.convert("RGB"))
    return bool(np.abs(difference).max() <= SAME_COLOUR)


def rgb_of_cmyk(image: Image.Image) -> tuple[Image.Image, str]:
    """A CMYK image in sRGB, and a note of the conversion. Its ICC profile describes inks and is left out."""
    converted, note = None, "CMYK without an ICC profile became RGB by a formula: colours may differ"
    if profile := image.info.get("icc_profile"):
        try:
            inks, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, inks, srgb, outputMode="RGB")
            note = "CMYK became sRGB through its ICC profile, which is left out"
        except (ImageCms.PyCMSError, *MALFORMED):
            note = "CMYK with a faulty ICC profile became RGB by a formula, and the profile is left out"
    converted = converted or image.convert("RGB")
    converted.info.pop("icc_profile", None)
    return converted, note
