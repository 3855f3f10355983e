"""A step before export: channels balanced so that the products of the analysis can be taken in 8 bits.

What enters a product is rounded to 255 steps for all channels together (see `aecodec.training.graphs`). So
each channel is divided by a factor and its column of the matrix multiplied by it, which changes nothing but
what is lost to rounding. The gains before take the division upon them.

Source: Xiao et al. 2023, SmoothQuant (arXiv 2211.10438).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from aecodec.training.data import Crops, Pixels
from aecodec.training.layers import Block, anchor_weights
from aecodec.training.networks import Codec

BATCH, CROP, BATCHES = 8, 256, 4  # crops, pixels
Hook = Callable[[nn.Module, tuple[Tensor]], None]
SHARE = 0.7  # of a channel's range that its factor takes away; the rest it takes from the column's


def smooth_analysis(codec: Codec, images: list[Pixels], seed: int = 0) -> Codec:
    """The codec, in place, the first products of its analysis blocks balanced on crops of images."""
    crops, blocks = Crops(images, CROP, seed), list(codec.analysis.blocks)
    largest = [torch.zeros(block.expand.weight.shape[1]) for block in blocks]

    def watch(of: Tensor) -> Hook:
        def hook(module: nn.Module, inputs: tuple[Tensor]) -> None:
            torch.maximum(of, inputs[0].abs().amax((0, 2, 3)), out=of)

        return hook

    hooks = [
        block.expand.register_forward_pre_hook(watch(of)) for block, of in zip(blocks, largest, strict=True)
    ]
    with torch.no_grad():
        for _ in range(BATCHES):
            codec.analysis(crops.batch(BATCH, CROP), anchor_weights(torch.linspace(0, 100, BATCH)))
        for hook, block, of in zip(hooks, blocks, largest, strict=True):
            hook.remove()
            balance(block, of)
    return codec


def balance(block: Block, largest: Tensor) -> None:
    """Divide what enters a block's first product, of which the `largest` magnitudes (C,) are known."""
    column = block.expand.weight.abs().amax(0)
    factor = largest.clamp(min=1e-3) ** SHARE / column.clamp(min=1e-3) ** (1 - SHARE)
    block.expand.weight *= factor
    block.log_gain_in.rows -= factor.log()
    block.shift.rows /= factor
