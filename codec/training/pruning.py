"""A step before export: it prunes hidden channels of the analysis blocks that hardly change y.

The remaining channels take over the output of the others as far as they can, by least squares on crops.

Source: Hassibi and Stork 1993, Second order derivatives for network pruning: Optimal Brain Surgeon.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from aecodec.training.data import Crops, Pixels
from aecodec.training.layers import ResidualBlock, anchor_weights
from aecodec.training.networks import Codec

BATCH, CROP = 48, 256  # crops, pixels: 12 288 positions at 1/16, for a covariance of up to 768 channels
MULTIPLE = 64  # of hidden channels; a few more or less would not change the time, as engines work in blocks
# Change of y, in quantisation steps (root of the mean square), that each block may cause. Rounding to 8 bits
# moves y by 0.006 and more; pruned so far, files did not grow (docs/experiments.md, wider networks).
TOLERANCE = 2.5e-3


def prune_analysis(codec: Codec, images: Sequence[Pixels]) -> Codec:
    """The codec, changed in place: blocks of its analysis are narrowed within TOLERANCE of y."""
    analysis, weights = codec.analysis, anchor_weights(torch.linspace(0, 100, BATCH))
    crops, hidden = Crops(images, CROP, seed=0), {}

    def keep(module: nn.Module, inputs: tuple[Tensor]) -> None:
        hidden[module] = inputs[0].movedim(1, -1).flatten(0, -2)

    hooks = [block.project.register_forward_pre_hook(keep) for block in analysis.blocks]
    with torch.no_grad():
        analysis(crops.batch(BATCH, CROP), weights)
        for hook, block in zip(hooks, analysis.blocks, strict=True):
            hook.remove()
            prune(block, hidden.pop(block.project), sensitivity(codec, block, weights))
    return codec


def sensitivity(codec: Codec, block: ResidualBlock, weights: Tensor) -> Tensor:
    """The quadratic form (C, C) from an error of a block's output to the squared error of y per latent."""
    analysis = codec.analysis
    gains = zip(analysis.log_gain(weights).exp(), block.log_gain_out(weights).exp(), strict=True)
    maps = [(y_gain[:, :, 0] * analysis.head.weight * gain[:, 0, 0]).double() for y_gain, gain in gains]
    return torch.stack([matrix.T @ matrix for matrix in maps]).mean(0) / codec.config.latents


def prune(block: ResidualBlock, hidden: Tensor, form: Tensor) -> None:
    """Prune channels of the input (N, H) of a block's second matrix, within TOLERANCE, the cheapest first."""
    hidden, matrix = hidden.double(), block.project.weight.double()
    mean, covariance = hidden.mean(0), torch.cov(hidden.T, correction=0)
    ridge = 1e-6 * covariance.diag().mean() * torch.eye(len(mean))  # for channels that are always 0
    inverse, weighted = torch.linalg.inv(covariance + ridge), form @ matrix
    kept, error, pruned = torch.ones(len(mean), dtype=torch.bool), 0.0, None
    for remaining in range(len(mean) - 1, 0, -1):
        costs = (weighted * matrix).sum(0) / inverse.diag()
        costs[~kept] = torch.inf
        channel = int(costs.argmin())
        error += float(costs[channel])
        if error > TOLERANCE**2:
            break
        row = inverse[channel] / inverse[channel, channel]
        matrix = matrix - torch.outer(matrix[:, channel], row)
        weighted = weighted - torch.outer(weighted[:, channel], row)
        inverse = inverse - torch.outer(inverse[channel], row)
        kept[channel] = False
        if remaining % MULTIPLE == 0:
            pruned = kept.clone(), matrix[:, kept]
    if pruned is None:
        return
    kept, matrix = pruned
    bias = block.project.bias + (block.project.weight @ mean.float() - matrix.float() @ mean[kept].float())
    block.expand.weight, block.expand.bias = (
        nn.Parameter(parameter[kept]) for parameter in (block.expand.weight, block.expand.bias)
    )
    block.project.weight, block.project.bias = nn.Parameter(matrix.float()), nn.Parameter(bias)
