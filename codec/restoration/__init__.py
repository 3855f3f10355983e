"""Stages of the pipeline: each takes a Picture and gives a Picture, and is useful alone.

    denoise    before the codec: noise is the most expensive thing to code
    enhance    after the codec, or on old JPEGs: coding artefacts
    upscale    after the codec, or alone: a picture 2, 3 or 4 times as large

Alpha and metadata pass through, gray stays gray.
"""

from __future__ import annotations

from aecodec.restoration.denoising import check_denoising, denoise
from aecodec.restoration.enhancement import enhance
from aecodec.restoration.noise import estimate_noise
from aecodec.restoration.upscaling import check_upscaling, upscale

__all__ = ["check_denoising", "check_upscaling", "denoise", "enhance", "estimate_noise", "upscale"]
