"""Pictures as outputs of commands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aecodec.cli.files import UsageError, readable_size
from aecodec.cli.jobs import Job, Record

if TYPE_CHECKING:
    from PIL import Image

    from aecodec.picture import Picture


@dataclass(frozen=True, slots=True)
class PictureOptions:
    """How pictures are written."""

    background: str | None  # colour behind transparency in formats that have none
    jpeg_quality: int
    keep_times: bool
    strip: tuple[str, ...] = ()  # kinds of metadata that are left out

    def __post_init__(self) -> None:
        """Raises UsageError for a background that is no colour."""
        if self.background is None:
            return
        from aecodec import ImageError
        from aecodec.picture.writing import colour_of

        try:
            colour_of(self.background)
        except ImageError as error:
            raise UsageError(f"--{error}") from error


def check_suffixes(jobs: list[Job]) -> None:
    """Raise UsageError for a job whose output has a suffix that no format has."""
    for job in jobs:
        if not job.refusal:
            check_suffix(job.target)


def check_suffix(target: Path) -> None:
    """Raise UsageError for an output with a suffix that no format has."""
    from aecodec.picture.writing import FORMATS

    if target.suffix.lower() not in ("", *FORMATS):
        raise UsageError(f"{target}: unknown suffix: choose of {' '.join(FORMATS)}")


def encode(
    picture: Picture, suffix: str, settings: PictureOptions
) -> tuple[Image.Image, bytes, tuple[str, ...]]:
    """The image of a picture in the format of a suffix, its file, and notes of what is not kept."""
    from aecodec.picture.stripping import strip
    from aecodec.picture.writing import encode_image, fitted, format_for, notes_of_writing, to_pillow

    picture = strip(picture, settings.strip)
    output_format = format_for(Path(f"out{suffix}"))
    image = fitted(to_pillow(picture), output_format, settings.background)
    notes = (*picture.notes, *notes_of_writing(image, output_format))
    return image, encode_image(image, output_format, settings.jpeg_quality), notes


def describe(record: Record) -> str:
    """The line of a picture that was written."""
    sizes = f"{readable_size(record['bytes_before'])} -> {readable_size(record['bytes_after'])}"
    shape = f"{record['width']}x{record['height']} {record['mode']}"
    noise = f", noise of {record['noise']:.3g} removed" if record.get("noise") else ""
    return f"{record['output']}: {sizes}, {shape}, {record['seconds']:.2f} s{noise}"
