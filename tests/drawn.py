"""Pictures that were drawn, printed or set, in which there is neither noise nor a trace of coding."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from aecodec.arrays import Pixels
from tests.common import shipped_photograph

SIZE = 288, 192  # width, height
GRAY = tuple[int, int, int]


def text(size: int = 12, ink: GRAY = (0, 0, 0), paper: GRAY = (255, 255, 255)) -> Pixels:
    """Lines of text, as any toolkit draws them."""
    image, random = Image.new("RGB", SIZE, paper), np.random.default_rng(0)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    for top in range(2, SIZE[1], size * 5 // 4):
        words = ("".join(random.choice(list("acegmnopstuvxyz"), random.integers(1, 9))) for _ in range(20))
        draw.text((3, top), " ".join(words), fill=ink, font=font)
    return np.asarray(image)


def drawing() -> Pixels:
    """Filled shapes and lines with smooth borders on white."""
    width, height = (4 * side for side in SIZE)
    image, random = Image.new("RGB", (width, height), "white"), np.random.default_rng(1)
    draw = ImageDraw.Draw(image)
    for number in range(30):
        x, y = sorted(random.integers(0, width, 2)), sorted(random.integers(0, height, 2))
        colour = tuple(int(level) for level in random.integers(0, 256, 3))
        shape = (draw.ellipse, draw.rectangle)[number % 2]
        shape((x[0], y[0], x[1] + 1, y[1] + 1), fill=colour)
        draw.line((x[0], y[1], x[1], y[0]), fill="black", width=6)
    return np.asarray(image.resize(SIZE, Image.Resampling.BOX))


def screenshot() -> Pixels:
    """A window with a title, text and a photograph."""
    image = Image.new("RGB", SIZE, (240, 240, 242))
    image.paste(Image.fromarray(text(11, (30, 30, 30))).crop((0, 0, 200, 160)), (8, 28))
    ImageDraw.Draw(image).rectangle((0, 0, SIZE[0], 20), fill=(45, 60, 90))
    image.paste(Image.fromarray(shipped_photograph("chelsea")[100:170, 100:170]), (214, 40))
    return np.asarray(image)


def squares(side: int) -> Pixels:
    """Black and white squares, as in a QR code."""
    code = np.random.default_rng(0).integers(0, 2, (SIZE[1] // side, SIZE[0] // side))
    return gray_of(255 * np.kron(code, np.ones((side, side), int)))


def dots(period: int = 2) -> Pixels:
    """A fine chequered pattern between two grays."""
    rows, columns = np.indices(SIZE[::-1]) // period
    return gray_of(20 + 200 * ((rows + columns) % 2))


def bordered(inner: Pixels, level: int) -> Pixels:
    return np.pad(inner, ((40, 40), (40, 40), (0, 0)), constant_values=level)


def half_tone() -> Pixels:
    """A photograph as a printer's dots."""
    levels = np.asarray(Image.fromarray(shipped_photograph("chelsea")).convert("L"))[: SIZE[1], : SIZE[0]]
    rows, columns = np.indices(levels.shape)
    screen = 127 + 127 * np.sin((rows + columns) * 0.7) * np.sin((rows - columns) * 0.7)
    return gray_of(10 + 230 * (levels > screen))


def dithered(colours: int) -> Pixels:
    """A photograph in few colours, as in a GIF."""
    image = Image.fromarray(shipped_photograph("chelsea")[: SIZE[1], : SIZE[0]])
    palette = image.quantize(colours)
    return np.asarray(image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).convert("RGB"))


def one_bit() -> Pixels:
    image = Image.fromarray(shipped_photograph("chelsea")[: SIZE[1], : SIZE[0]])
    return np.asarray(image.convert("1").convert("RGB"))


def gradient(dither: bool) -> Pixels:
    """A smooth change of colour, rounded, or dithered so that the eye sees no steps."""
    width, height = SIZE
    across, down = np.linspace(30, 220, width)[None, :], np.linspace(200, 90, height)[:, None]
    levels = np.stack(np.broadcast_arrays(across, down, 120.5), axis=2)
    shift = np.random.default_rng(0).random(levels.shape) if dither else 0.5
    return np.floor(levels + shift).astype(np.uint8)


def pixel_art() -> Pixels:
    small = Image.fromarray(shipped_photograph("chelsea")).resize((72, 48), Image.Resampling.BOX)
    return np.asarray(small.quantize(16).convert("RGB").resize(SIZE, Image.Resampling.NEAREST))


def icon() -> Pixels:
    image = Image.new("RGB", (192, 192), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((6, 6, 184, 184), fill=(40, 120, 220))
    draw.polygon([(60, 50), (150, 95), (60, 140)], fill=(255, 230, 0))
    return np.asarray(image.resize((48, 48), Image.Resampling.BOX))


def gray_of(levels: NDArray[np.int_]) -> Pixels:
    return np.repeat(levels.astype(np.uint8)[:, :, None], 3, axis=2)


def jpeg(pixels: Pixels, quality: int, subsampling: str = "4:2:0") -> Pixels:
    """What comes back of a JPEG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(file).convert("RGB"))


def webp(pixels: Pixels, quality: int) -> Pixels:
    """What comes back of a lossy WebP."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


EDGED: dict[str, Callable[[], Pixels]] = {
    "text": text,
    "small text": lambda: text(9),
    "large text": lambda: text(30),
    "text on black": lambda: text(12, (255, 255, 255), (0, 0, 0)),
    "gray text": lambda: text(12, (40, 40, 40), (230, 230, 230)),
    "coloured text": lambda: text(12, (200, 30, 60), (250, 245, 220)),
    "drawing": drawing,
    "screenshot": screenshot,
    "squares": lambda: squares(3),
    "single pixels": lambda: squares(1),
    "dots": dots,
    "fine dots": lambda: dots(1),
    "half-tone": half_tone,
    "one bit": one_bit,
    "pixel art": pixel_art,
    "few colours": lambda: dithered(16),
    "icon": icon,
    "bordered text": lambda: bordered(text(), 128),
}
SMOOTH: dict[str, Callable[[], Pixels]] = {
    "gradient": lambda: gradient(False),
    "dithered gradient": lambda: gradient(True),
}
