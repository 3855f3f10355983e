"""What a file holds, without decoding it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aecodec.container import Container
from aecodec.decoder.decoding import has_alpha


@dataclass(frozen=True, slots=True)
class Info:
    """What a file holds, without decoding it."""

    width: int
    height: int
    mode: str  # L, LA, RGB or RGBA
    coding: str  # learned or lossless
    coded_gray: bool  # whether the picture is coded as gray, which mode RGB shows as three equal channels
    quality: float | None  # 0 to 100; None for lossless
    model: str | None  # fingerprint of the model, hexadecimal; None for lossless
    noise: float  # deviation, of 255, of the noise that was removed before coding; 0 for none
    enhanced: bool  # whether the decoder removes artefacts
    scale: int  # by which the decoder enlarges the coded picture; 1 for not at all
    size: int  # bytes of the file
    # Bytes of each kind, boxes that this release does not know among them:
    metadata: Mapping[str, int] = field(hash=False)

    @property
    def bpp(self) -> float:
        """Bits of the whole file per pixel."""
        return 8 * self.size / (self.width * self.height)


def contents_of(container: Container, size: int) -> Info:
    """What a parsed file of `size` bytes holds; raises BitstreamError where a lossless payload is none."""
    learned = container.learned
    boxes = {box.name.lower(): content for box, content in container.boxes.items()}
    boxes |= {f"unknown box {box_type}": content for box_type, content in container.unknown.items()}
    return Info(
        width=container.width,
        height=container.height,
        mode=mode_of(container),
        coding="learned" if learned else "lossless",
        coded_gray=container.gray,
        quality=learned.quality if learned else None,
        model=learned.fingerprint.hex() if learned else None,
        noise=container.stages.noise / 4,
        enhanced=bool(container.stages.enhance),
        scale=container.stages.scale,
        size=size,
        metadata={name: len(content) for name, content in boxes.items()},
    )


def mode_of(container: Container) -> str:
    """L, LA, RGB or RGBA; raises BitstreamError where a lossless payload is none."""
    return ("L" if container.shown_gray else "RGB") + "A" * has_alpha(container)
