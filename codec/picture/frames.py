"""Files of several pictures: animations, pages, bursts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from aecodec.errors import ImageError

WITH_A_PRIMARY = ("HEIF", "MPO")  # formats in which one picture stands for all


@contextmanager
def at_frame(image: Image.Image, frame: int | None) -> Iterator[tuple[str, ...]]:
    """Within, the image stands at a frame, counted from 0; afterwards where it stood.

    Gives notes of what is not kept. Without a number one frame is taken as it is, and so is the picture that
    stands for the others. Raises ImageError for other files of several, and for a frame that is not there.
    """
    count, position = getattr(image, "n_frames", 1), image.tell()
    if frame is None:
        yield notes_of(image.format, count, position)
        return
    if not 0 <= frame < count:
        frames = "1 frame, which is 0" if count == 1 else f"{count} frames, 0 to {count - 1}"
        raise ImageError(f"has no frame {frame}: it holds {frames}")
    image.seek(frame)
    try:
        yield ()
    finally:
        image.seek(position)


def notes_of(format: str | None, count: int, position: int) -> tuple[str, ...]:
    """What to say of a file of so many frames that stands at one; raises ImageError where none is meant."""
    if count == 1:
        return ()
    if format not in WITH_A_PRIMARY:
        raise ImageError(f"holds {count} frames: choose one with --frame 0 to {count - 1} (frame= in Python)")
    kept = "the first" if position == 0 else f"frame {position}"
    return (f"holds {count} frames, of which {kept} is kept",)
