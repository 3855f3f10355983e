"""Removes coding artefacts: of JPEG at any quality, and of our own files."""

from __future__ import annotations

from dataclasses import replace

from codec.picture import Picture, is_achromatic, to_gray
from codec.picture.alpha import fill_hidden
from codec.stages.networks import network
from codec.stages.restoration import restored

NETWORK = "enhance"


def enhance(picture: Picture) -> Picture:
    """The picture without what lossy coding has added to it; of a size of its own."""
    picture = fill_hidden(picture)
    pixels = restored(network(NETWORK), picture.pixels)
    return replace(picture, pixels=to_gray(pixels) if is_achromatic(picture.pixels) else pixels)
