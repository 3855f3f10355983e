"""Pages of printed words, clean and spoiled: rendered by Pillow in several fonts and sizes.

Words are random syllables, so no network can know a text. The families in HELD_OUT are for testing alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from aecodec.errors import MissingExtraError

TRAINED = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralBolIta",
    "STIXGeneralItalic",
    "cmb10",
    "cmr10",
    "cmti10",
    "cmtt10",
)
HELD_OUT = ("DejaVuSerif", "DejaVuSerif-Italic", "cmss10")
SIZES = (14, 30)  # pixels of an em
VOWELS, CONSONANTS = "aeiou", "bcdfghjklmnpqrstvwxz"
STAINS, LINES = 3, 6  # most on a page of 256x256; larger ones have as many to an area
INK, PAPER = 0.25, 0.9  # lightest ink and darkest paper, in [0, 1]
NOISE = (0.03, 0.15)  # standard deviation on pixels in [0, 1]

Page = NDArray[np.float32]  # (H, W), in [0, 1]


@dataclass(frozen=True, slots=True)
class Spoiled:
    """A clean page and the same under lines and stains; noise is drawn apart."""

    clean: Page
    spoiled: Page


@cache
def font_folder() -> Path:
    """The fonts that matplotlib ships; raises MissingExtraError. It is located, not imported."""
    spec = find_spec("matplotlib")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("No module named 'matplotlib': run pip install 'aecodec[lab]'")
    return Path(next(iter(spec.submodule_search_locations))) / "mpl-data/fonts/ttf"


def make_page(random: np.random.Generator, height: int, width: int, fonts: tuple[str, ...]) -> Spoiled:
    """A page (height, width) with paragraphs in these fonts."""
    paper, ink = random.uniform(PAPER, 1), random.uniform(0, INK)
    image = Image.new("L", (width, height), round(255 * paper))
    top = int(random.integers(0, 20))
    while top < height:
        top += write_paragraph(random, image, top, fonts, round(255 * ink))
    clean: Page = np.asarray(image, np.float32) / np.float32(255)
    return Spoiled(clean, spoil(random, clean))


def write_paragraph(
    random: np.random.Generator, image: Image.Image, top: int, fonts: tuple[str, ...], ink: int
) -> int:
    """Write one to four lines in one font; returns their height in pixels."""
    size = int(random.integers(*SIZES, endpoint=True))
    font = ImageFont.truetype(font_folder() / f"{random.choice(fonts)}.ttf", size)
    draw = ImageDraw.Draw(image)
    lines = int(random.integers(1, 5))
    spacing = round(size * random.uniform(1.2, 1.6))
    for line in range(lines):
        left = int(random.integers(0, 2 * size))
        while left < image.width:
            text = word(random)
            draw.text((left, top + line * spacing), text, ink, font)
            left += round(draw.textlength(text, font) + 0.35 * size)
    return lines * spacing + round(size * random.uniform(0, 0.8))


def word(random: np.random.Generator) -> str:
    """A word of one to four syllables, capitalised or a number at times."""
    if random.random() < 0.08:
        return str(random.integers(1, 9999))
    syllables = (
        "".join(random.choice(list(part)) for part in (CONSONANTS, VOWELS))
        for _ in range(random.integers(1, 5))
    )
    text = "".join(syllables) + ("" if random.random() < 0.5 else str(random.choice(list("nrst"))))
    mark = str(random.choice(list(",.;:"))) if random.random() < 0.12 else ""
    return (text.capitalize() if random.random() < 0.2 else text) + mark


def spoil(random: np.random.Generator, clean: Page) -> Page:
    """A page under ruled lines, strokes of a pen and stains."""
    height, width = clean.shape
    share = max(1.0, clean.size / 256**2)
    shade = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(shade)
    if random.random() < 0.5:  # ruled paper
        tone, distance = int(random.integers(120, 220)), int(random.integers(16, 40))
        for line in range(int(random.integers(distance)), height, distance):
            draw.line((0, line, width, line), tone, int(random.integers(1, 3)))
    for _ in range(int(random.integers(0, int(LINES * share), endpoint=True))):
        x, y = random.uniform(0, width), random.uniform(0, height)
        dx, dy = random.normal(0, 120), random.normal(0, 40)
        draw.line((x, y, x + dx, y + dy), int(random.integers(60, 200)), int(random.integers(1, 4)))
    stains = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(stains)
    for _ in range(int(random.integers(0, int(STAINS * share), endpoint=True))):
        x, y, radius = random.uniform(0, width), random.uniform(0, height), random.uniform(10, 60)
        box, tone = (x - radius, y - radius, x + radius, y + radius), int(random.integers(130, 230))
        if random.random() < 0.5:
            draw.ellipse(box, tone)
        else:  # the ring of a cup
            draw.ellipse(box, None, tone, int(random.integers(3, 9)))
    stains = stains.filter(ImageFilter.GaussianBlur(random.uniform(1, 6)))
    shades = np.asarray(shade, np.float32) * np.asarray(stains, np.float32) / 255**2
    spoiled: Page = (clean * shades).astype(np.float32)
    return spoiled


def add_noise(random: np.random.Generator, page: Page, sigma: float) -> Page:
    """A page with Gaussian noise, clipped to [0, 1]."""
    return (page + random.normal(0, sigma, page.shape).astype(np.float32)).clip(0, 1)
