"""A last step before export: it trains the scale map alone on rounded symbols, as files hold them.

In training of the whole codec, rates are those of latents with uniform noise. Where scales are small, they
look wider than rounded ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from aecodec.training.data import Crops, Pixels
from aecodec.training.distributed import bfloat16
from aecodec.training.hyperprior import nearest_scale_index
from aecodec.training.layers import anchor_weights
from aecodec.training.networks import Z_LIMITS, Codec
from aecodec.training.rate_distortion import stratified_qualities

BATCH, CROP = 8, 256  # crops, pixels: larger batches are less noisy and slower
# Highest learning rates of the weights and of the offsets of the scale map, in scale indices: higher ones are
# faster up to where they diverge. 250 steps gained 0.14 points (docs/experiments.md, tables and contexts).
WEIGHT_RATE, OFFSET_RATE = 2e-3, 2e-2
WARM_UP = 20  # steps of rising rate: until Adam's moments are known


def refit_scales(codec: Codec, images: Sequence[Pixels], steps: int, seed: int = 0) -> Codec:
    """The codec, changed in place: its scale map is refitted in `steps` steps on crops of the images."""
    codec.eval().requires_grad_(False)
    weight, offset = codec.scale_map.weight, codec.scale_map.offset.rows
    groups = [{"params": [weight.requires_grad_()]}, {"params": [offset.requires_grad_()]}]
    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.99))
    crops = Crops(images, CROP, seed)
    for step in range(steps):
        share = min(1, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group, rate in zip(optimiser.param_groups, (WEIGHT_RATE, OFFSET_RATE), strict=True):
            group["lr"] = rate * share
        bits = symbol_bits(codec, crops.batch(BATCH, CROP), stratified_qualities(BATCH))
        optimiser.zero_grad()
        (bits / bits.detach().clamp(min=1)).mean().backward()
        optimiser.step()
    return codec.requires_grad_(True)


def symbol_bits(codec: Codec, images: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
    """Bits (B,) of the rounded symbols of images (B, 3, H, W); differentiable in the scale map alone."""
    weights = anchor_weights(quality)
    with torch.no_grad(), bfloat16():
        y = codec.analysis(images, weights).float()
        z = codec.hyper_analysis(y).float().clamp(*Z_LIMITS).round()
        scale_index = codec.scale_map(z, weights).float()
        residual = y - codec.means(y, z, scale_index, weights)
        symbols = codec.quantiser.symbols(residual, nearest_scale_index(scale_index))
    return codec.y_bits(symbols, codec.scale_map(z, weights).float())
