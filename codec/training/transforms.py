"""Pixels to latents and back: residual blocks around the principal components of patches.

Everything runs at 1/16 of the resolution except one thin residual block before the analysis and six after
the synthesis, which run on the 1/4 grid: on its pixels and on features that tell them what to expect there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aecodec.errors import ModelError
from aecodec.training.layers import (
    ANCHORS,
    Pointwise,
    QualityGain,
    ResidualBlock,
    ResidualBlocks,
    Vjp,
    lagrangian,
    scaled,
)

PATCH = 16  # pixels per latent position, each way: four halvings, as in other learned codecs
GRID = 4  # pixels per position of the fine grid, each way; a finer grid costs more time in every block


@dataclass(frozen=True, slots=True)
class CodecConfig:
    """Channels and numbers of blocks of every network. The defaults are those of the model `base`.

    They trade bits for time: docs/experiments.md has the widths that were tried.
    """

    latents: int = 320
    analysis: int = 384
    analysis_blocks: int = 6
    analysis_hidden: int = 512
    synthesis_blocks: int = 4
    fine_blocks: int = 6
    fine_features: int = 32
    means: int = 128
    context: int = 192
    context_blocks: int = 3


def config_of(weights: Mapping[str, Tensor]) -> CodecConfig:
    """The configuration of the codec that has these weights; raises ModelError if they are of no codec."""

    def count(blocks: str) -> int:
        return len({name.split(".")[blocks.count(".")] for name in weights if name.startswith(blocks)})

    try:
        latents, analysis = weights["analysis.head.weight"].shape
        return CodecConfig(
            latents=latents,
            analysis=analysis,
            analysis_blocks=count("analysis.blocks."),
            analysis_hidden=len(weights["analysis.blocks.0.expand.weight"]),
            synthesis_blocks=count("synthesis.blocks."),
            fine_blocks=count("synthesis.refine_fine."),
            fine_features=len(weights["synthesis.features.weight"]) // (PATCH // GRID) ** 2,
            means=weights["first_means.head.weight"].shape[1],
            context=weights["second_means.head.weight"].shape[1],
            context_blocks=count("second_means.blocks."),
        )
    except (KeyError, IndexError, ValueError) as error:
        raise ModelError(f"these are no weights of a codec ({error}): choose others") from error


@dataclass(frozen=True, slots=True)
class PrincipalComponents:
    """The Karhunen-Loeve transform of patches: mean (768,), basis (768, 768) by rows, spread (768,)."""

    mean: Tensor
    basis: Tensor
    spread: Tensor


def to_patches(x: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 768, H/16, W/16), the fine grid's channels innermost."""
    return F.pixel_unshuffle(F.pixel_unshuffle(x, GRID), PATCH // GRID)


def quantisation_steps() -> Tensor:
    """The uniform step (ANCHORS, 1) that is optimal at high rate: step**2 = 26 / (lambda * 255**2)."""
    quality = torch.linspace(0, 100, ANCHORS)
    return (26 / (lagrangian(quality) * 255**2)).sqrt()[:, None]


def channel_scales(spread: Tensor) -> tuple[Tensor, Tensor]:
    """Standard deviations of quantised components and of their errors at each anchor: two (ANCHORS, C)."""
    steps = quantisation_steps()
    noisy = (spread**2 + steps**2).sqrt()
    return noisy, spread * steps / noisy


def grid_scales(features: int = 0) -> tuple[Tensor, Tensor]:
    """The same for the pixels of the fine grid, followed by features, which are of order one.

    They are where training starts: samples of 0 to 1 have a deviation of about 0.25, and a tenth of a step is
    what the first blocks may be expected to correct.
    """
    ones = torch.ones(ANCHORS, features)
    spread = torch.full((ANCHORS, 3 * GRID**2), 0.25)
    error = 0.1 * quantisation_steps().expand(-1, 3 * GRID**2)
    return torch.cat([spread, ones], 1), torch.cat([error, ones], 1)


def in_patches(x: Tensor, weight: Tensor, side: int) -> Tensor:
    """A matrix (O, C * side**2) applied to every patch of x (B, C, H, W) -> (B, O, H/side, W/side).

    The result is that of the matrix after `pixel_unshuffle`. An engine would spend as long on that as on the
    product, so a convolution with a stride takes the place of both.
    """
    with torch.autocast(x.device.type, enabled=False):
        return F.conv2d(x.float(), weight.unflatten(1, (x.shape[1], side, side)), stride=side)


class Analysis(nn.Module):
    """Image (B, 3, H, W) in [0, 1], sides multiples of 32 -> y (B, M, H/16, W/16) in quantisation steps."""

    def __init__(self, config: CodecConfig, start: PrincipalComponents) -> None:
        super().__init__()
        steps = quantisation_steps()
        self.stem = ResidualBlock(*grid_scales(), hidden=9 * GRID**2)
        self.embed = Pointwise(768, config.analysis, linear=True)
        scales = channel_scales(start.spread[: config.analysis])
        self.blocks = ResidualBlocks(config.analysis_blocks, *scales, config.analysis_hidden)
        self.head = Pointwise(config.analysis, config.latents, linear=True)
        self.log_gain = QualityGain(-steps.log().expand(-1, config.latents))
        with torch.no_grad():
            basis = start.basis[: config.analysis]
            self.embed.weight.copy_(basis)
            self.embed.bias.copy_(-basis @ start.mean)
            self.head.weight.copy_(torch.eye(config.latents, config.analysis))

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        identity = torch.eye(3 * GRID**2, device=x.device)
        grid = self.stem(in_patches(x - 0.5, identity, GRID), weights)
        h = in_patches(grid, self.embed.weight, PATCH // GRID) + self.embed.bias[:, None, None]
        h = self.blocks(h, weights)
        return self.head(h) * self.log_gain(weights).exp()


class Synthesis(nn.Module):
    """Quantised y (B, M, H/16, W/16) in steps -> image (B, 3, H, W), about [0, 1], not clipped."""

    def __init__(self, config: CodecConfig, start: PrincipalComponents) -> None:
        super().__init__()
        steps = quantisation_steps()
        self.log_gain = QualityGain(steps.log().expand(-1, config.latents))
        self.blocks = ResidualBlocks(config.synthesis_blocks, *channel_scales(start.spread[: config.latents]))
        self.expand = Pointwise(config.latents, 768, linear=True)
        self.log_gain_features = QualityGain(-channel_scales(start.spread[: config.latents])[0].log())
        self.features = Pointwise(config.latents, (PATCH // GRID) ** 2 * config.fine_features)
        self.refine_fine = ResidualBlocks(config.fine_blocks, *grid_scales(config.fine_features))
        with torch.no_grad():
            self.expand.weight.copy_(start.basis[: config.latents].T)
            self.expand.bias.copy_(start.mean)

    def forward(self, y: Tensor, weights: Tensor) -> Tensor:
        return self.with_vjp(y, weights)[0]

    def with_vjp(self, y: Tensor, weights: Tensor) -> tuple[Tensor, Vjp]:
        """The image, and its approximate vector-Jacobian product to y, in operations of an exported graph."""
        gain, gain_features = self.log_gain(weights).exp(), self.log_gain_features(weights).exp()
        h, blocks_vjp = self.blocks.with_vjp(scaled(y, gain), weights)
        outputs = torch.cat([self.expand(h), self.features.of_scaled(h, gain_features).float()], 1)
        grid = scaled(F.pixel_shuffle(outputs, PATCH // GRID))
        grid, fine_vjp = self.refine_fine.with_vjp(grid, weights)
        pixels, features = grid.split([3 * GRID**2, grid.shape[1] - 3 * GRID**2], 1)

        def vjp(gradient: Tensor) -> Tensor:
            pixel_gradient = F.pixel_unshuffle(gradient, GRID)
            inner = fine_vjp(torch.cat([pixel_gradient, torch.zeros_like(features)], 1))
            inner = F.pixel_unshuffle(inner, PATCH // GRID)
            pixel_gradient, feature_gradient = inner.split(
                [len(self.expand.weight), len(self.features.weight)], 1
            )
            inner = self.expand.vjp(pixel_gradient) + self.features.vjp(feature_gradient) * gain_features
            return blocks_vjp(inner) * gain

        return F.pixel_shuffle(pixels, GRID) + 0.5, vjp
