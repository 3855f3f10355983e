"""Removes coding artefacts: of JPEG at any quality, and of our own files."""

from __future__ import annotations

from dataclasses import replace

from codec.picture import Picture, to_gray
from codec.stages.networks import network
from codec.stages.restoration import restored

NETWORK = "enhance"


def enhance(picture: Picture) -> Picture:
    """The picture without what lossy coding has added to it; of a size of its own."""
    pixels = restored(network(NETWORK), picture.pixels)
    return replace(picture, pixels=to_gray(pixels) if picture.gray else pixels)
