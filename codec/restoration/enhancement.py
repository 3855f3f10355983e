"""Removes coding artefacts: of JPEG at any quality, and of our own files."""

from __future__ import annotations

from dataclasses import replace

from aecodec.picture import Picture, is_achromatic, pure_pixels, to_gray
from aecodec.picture.alpha import fill_hidden
from aecodec.picture.clipping import ENDS, Clipper, Clipping, whole_patches
from aecodec.restoration.filtering import restored
from aecodec.restoration.networks import network
from aecodec.restoration.traces import may_be_coded

NETWORK = "enhance"
PATCH = 8  # pixels each way, as the blocks of JPEG
LEFT = "no trace of coding: left as it is"


def enhance(picture: Picture) -> Picture:
    """The picture without artefacts of lossy coding, in the same size.

    A picture that was clearly never coded is left as it is, and gets a note.
    """
    if may_be_coded(fill_hidden(picture).pixels):
        return enhance_coded(picture)
    return replace(picture, notes=(*picture.notes, LEFT))


def enhance_coded(picture: Picture) -> Picture:
    """The same for a picture of which it is known that it was coded.

    Patches of pure white or black stay so: the network draws shadows there.
    """
    picture = fill_hidden(picture)
    pure = [whole_patches(pure_pixels(picture.pixels, level), PATCH) for level in ENDS]
    white, black = (Clipping(patch=PATCH, pure_patches=patches) for patches in pure)
    finish = Clipper((white, black)) if any(patches.any() for patches in pure) else None
    pixels = restored(network(NETWORK), picture.pixels, finish=finish)
    return replace(picture, pixels=to_gray(pixels) if is_achromatic(picture.pixels) else pixels)
