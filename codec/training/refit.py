"""A last step before export: the scale map alone, trained on the rounded symbols that files hold.

While everything is trained, rates are those of latents with uniform noise, which look wider than rounded
ones where scales are small.
"""

from __future__ import annotations

import math

import torch

from aecodec.training.data import Crops, Pixels
from aecodec.training.hyperprior import nearest_level
from aecodec.training.layers import anchor_weights
from aecodec.training.networks import Z_LIMITS, Codec
from aecodec.training.rate_distortion import stratified_qualities

BATCH, CROP = 8, 256  # crops, pixels
WEIGHT_RATE, OFFSET_RATE = 2e-3, 2e-2  # learning rates, at their highest
WARM_UP = 20  # steps


def refit_scales(codec: Codec, images: list[Pixels], steps: int, seed: int = 0) -> Codec:
    """The codec, in place, its scale map refitted in so many steps on crops of the images."""
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
    with torch.no_grad(), torch.autocast(images.device.type, torch.bfloat16):
        y = codec.analysis(images, weights).float()
        z = codec.hyper_analysis(y).float().clamp(*Z_LIMITS).round()
        index = codec.scale_map(z, weights).float()
        residual = y - codec.means(y, z, index, weights)
        symbols = codec.quantiser.symbols(residual, nearest_level(index))
    return codec.y_bits(symbols, codec.scale_map(z, weights).float())
