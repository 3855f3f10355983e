"""A step before export: it balances channels so that the analysis loses little by products of 8 bits.

The input of a product is rounded to 255 steps for all channels together (see `aecodec.training.graphs`). So
each channel is divided by a factor, and its column of the matrix is multiplied by it. That changes only what
rounding loses. The division becomes a part of the gains before the product.

Source: Xiao et al. 2023, SmoothQuant (arXiv 2211.10438).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from aecodec.training.data import Crops, Pixels
from aecodec.training.layers import ResidualBlock, anchor_weights
from aecodec.training.networks import Codec

BATCH, CROP, BATCHES = 8, 256, 4  # crops, pixels, batches: more would find larger extremes, and take longer
Hook = Callable[[nn.Module, tuple[Tensor]], None]
# Exponent of a channel's range in its factor; that of the column's range is the rest to 1. Errors of y with
# 0.3, 0.5 and 0.7 are in docs/experiments.md, what makes encoding fast.
SHARE = 0.7


def smooth_analysis(codec: Codec, images: Sequence[Pixels], seed: int = 0) -> Codec:
    """The codec, changed in place: the first products of its analysis blocks are balanced on crops."""
    crops, blocks = Crops(images, CROP, seed), list(codec.analysis.blocks)
    largest = [torch.zeros(block.expand.weight.shape[1]) for block in blocks]

    def record_maxima(maxima: Tensor) -> Hook:
        def hook(module: nn.Module, inputs: tuple[Tensor]) -> None:
            torch.maximum(maxima, inputs[0].abs().amax((0, 2, 3)), out=maxima)

        return hook

    hooks = [
        block.expand.register_forward_pre_hook(record_maxima(maxima))
        for block, maxima in zip(blocks, largest, strict=True)
    ]
    with torch.no_grad():
        for _ in range(BATCHES):
            codec.analysis(crops.batch(BATCH, CROP), anchor_weights(torch.linspace(0, 100, BATCH)))
        for hook, block, maxima in zip(hooks, blocks, largest, strict=True):
            hook.remove()
            balance(block, maxima)
    return codec


def balance(block: ResidualBlock, largest: Tensor) -> None:
    """Divide the input of a block's first product, whose channels have the `largest` magnitudes (C,)."""
    column = block.expand.weight.abs().amax(0)
    factor = largest.clamp(min=1e-3) ** SHARE / column.clamp(min=1e-3) ** (1 - SHARE)
    block.expand.weight *= factor
    block.log_gain_in.rows -= factor.log()
    block.shift.rows /= factor
