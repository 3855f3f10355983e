"""Metadata taken out of pictures, by kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from aecodec.container import Box
from aecodec.errors import MetadataError
from aecodec.picture import Picture, code_points, exif, text, xmp
from aecodec.picture.colour import is_srgb

KINDS = ("exif", "gps", "icc", "xmp", "text", "thumbnail")
BOXES = {
    "exif": (Box.EXIF,),
    "icc": (Box.ICC, Box.COLOUR),
    "xmp": (Box.XMP,),
    "text": (Box.TEXT,),
    "thumbnail": (Box.THUMBNAIL,),
}


def kinds_of(strip: str | Iterable[str]) -> tuple[str, ...]:
    """The kinds in names, each of which may be several with commas; raises MetadataError for others."""
    names = tuple(strip) if isinstance(strip, Iterable) and not isinstance(strip, str) else (strip,)
    if not all(isinstance(name, str) for name in names):
        raise MetadataError(f"strip {strip!r} names no kinds of metadata: choose of {', '.join(KINDS)}, all")
    kinds = [kind.strip().lower() for name in names for kind in name.split(",") if kind.strip()]
    for kind in kinds:
        if kind not in (*KINDS, "all"):
            raise MetadataError(f"strip {kind}: choose of {', '.join(KINDS)}, all")
    return KINDS if "all" in kinds else tuple(dict.fromkeys(kinds))


def strip(picture: Picture, kinds: str | Iterable[str]) -> Picture:
    """The picture without metadata of some kinds: of KINDS, or all; raises MetadataError.

    icc are colours in code points too; text are texts, comments, IPTC and the resolution. gps are the
    coordinates in EXIF, XMP and texts: XMP and EXIF that cannot be edited safely go as a whole, with a note.
    Only files have a thumbnail, which the encoder then leaves out.
    """
    if not (wanted := kinds_of(kinds)):
        return picture
    gone = {box for kind in wanted for box in BOXES.get(kind, ())}
    kept = {box: data for box, data in picture.metadata.items() if box not in gone}
    notes = [*picture.notes, *notes_of_colours(picture, gone)]
    if "gps" in wanted:
        kept, more = without_gps(kept)
        notes += more
    return replace(picture, metadata=kept, notes=tuple(notes))


def notes_of_colours(picture: Picture, gone: set[Box]) -> list[str]:
    """A note where the boxes that go describe colours other than sRGB's."""
    if Box.COLOUR in picture.metadata and Box.COLOUR in gone:
        colour = code_points.unpack(picture.metadata[Box.COLOUR])
        if picture.gray and colour.of_gray().is_srgb:
            return []
        return [f"its colours are {colour.name}, which is stripped: they will look different"]
    profile = picture.metadata.get(Box.ICC, b"")
    if Box.ICC in gone and profile and not is_srgb(profile):
        return ["its ICC profile is not sRGB and is stripped: colours may look different"]
    return []


def without_gps(boxes: dict[Box, bytes]) -> tuple[dict[Box, bytes], list[str]]:
    """The boxes without coordinates."""
    edits = {Box.EXIF: exif.without_gps, Box.XMP: xmp.without_location, Box.TEXT: text.without_location}
    kept, notes = dict(boxes), []
    for box, edit in edits.items():
        if box in kept:
            edited = edit(kept.pop(box))
            if edited:
                kept[box] = edited
            elif edited is None:
                notes.append(
                    f"its {box.name} is stripped as a whole: it may name a place, and cannot be edited"
                )
    return kept, notes
