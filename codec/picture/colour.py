"""What a picture's colours mean: gamma, inks."""

from __future__ import annotations

import io
from math import isclose

from PIL import Image, ImageCms

from codec.picture.pillow_errors import MALFORMED

USUAL_GAMMA, GAMMA_TOLERANCE = 1 / 2.2, 0.05  # of a PNG; what differs less, by a share, looks the same


def unusual_gamma(image: Image.Image) -> float | None:
    """The gamma of a PNG that says nothing better of its colours, if it is not the usual one."""
    gamma = image.info.get("gamma")
    if not gamma or image.info.get("icc_profile") or "srgb" in image.info:
        return None
    return None if isclose(gamma, USUAL_GAMMA, rel_tol=GAMMA_TOLERANCE) else float(gamma)


def rgb_of_cmyk(image: Image.Image) -> tuple[Image.Image, str]:
    """A CMYK image in sRGB, and a note that says how; an ICC profile describes inks and is left out."""
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
