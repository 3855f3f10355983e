"""A step before export: hidden channels of the analysis blocks that hardly change y are left out.

Those that stay take over what they can of the others, by least squares on crops of images.

Source: Hassibi and Stork 1993, Second order derivatives for network pruning: Optimal Brain Surgeon.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aecodec.training.data import Crops, Pixels
from aecodec.training.layers import Block, anchor_weights
from aecodec.training.networks import Codec

BATCH, CROP = 48, 256  # crops, pixels
MULTIPLE = 64  # of hidden channels, as engines work on so many at once
TOLERANCE = 2.5e-3  # of y, in quantisation steps (root of the mean square), for each block


def prune_analysis(codec: Codec, images: list[Pixels]) -> Codec:
    """The codec, in place, with narrower blocks of analysis where they change y by less than TOLERANCE."""
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


def sensitivity(codec: Codec, block: Block, weights: Tensor) -> Tensor:
    """The squared error of y, per latent, by what a block adds: a form (C, C), mean over qualities."""
    analysis = codec.analysis
    gains = zip(analysis.log_gain(weights).exp(), block.log_gain_out(weights).exp(), strict=True)
    maps = [(y_gain[:, :, 0] * analysis.head.weight * gain[:, 0, 0]).double() for y_gain, gain in gains]
    return torch.stack([each.T @ each for each in maps]).mean(0) / codec.widths.latents


def prune(block: Block, hidden: Tensor, form: Tensor) -> None:
    """Leave out channels of what enters a block's second matrix, (N, H), least first, within TOLERANCE."""
    hidden, matrix = hidden.double(), block.project.weight.double()
    mean, covariance = hidden.mean(0), torch.cov(hidden.T, correction=0)
    ridge = 1e-6 * covariance.diag().mean() * torch.eye(len(mean))
    inverse, weighted = torch.linalg.inv(covariance + ridge), form @ matrix
    kept, error, found = torch.ones(len(mean), dtype=torch.bool), 0.0, None
    for left in range(len(mean) - 1, 0, -1):
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
        if left % MULTIPLE == 0:
            found = kept.clone(), matrix[:, kept]
    if found is None:
        return
    kept, matrix = found
    bias = block.project.bias + (block.project.weight @ mean.float() - matrix.float() @ mean[kept].float())
    block.expand.weight, block.expand.bias = (
        nn.Parameter(whole[kept]) for whole in (block.expand.weight, block.expand.bias)
    )
    block.project.weight, block.project.bias = nn.Parameter(matrix.float()), nn.Parameter(bias)
