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
from aecodec.training.layers import ANCHORS, Block, Blocks, Pointwise, Pullback, Table, lagrangian, scaled

PATCH = 16  # pixels per latent position, each way
GRID = 4  # pixels per position of the fine grid, each way


@dataclass(frozen=True, slots=True)
class Widths:
    """Channels of every part; the defaults are those of the `base` model."""

    latents: int = 320
    analysis: int = 384
    analysis_blocks: int = 6
    analysis_hidden: int = 512
    synthesis_blocks: int = 4
    render_blocks: int = 6
    render_features: int = 32
    means: int = 128
    context: int = 192
    context_blocks: int = 3


def widths_in(weights: Mapping[str, Tensor]) -> Widths:
    """The widths of the codec with these weights; raises ModelError where they are no codec's."""

    def count(blocks: str) -> int:
        return len({name.split(".")[blocks.count(".")] for name in weights if name.startswith(blocks)})

    try:
        latents, analysis = weights["analysis.head.weight"].shape
        return Widths(
            latents=latents,
            analysis=analysis,
            analysis_blocks=count("analysis.blocks."),
            analysis_hidden=len(weights["analysis.blocks.0.expand.weight"]),
            synthesis_blocks=count("synthesis.blocks."),
            render_blocks=count("synthesis.render."),
            render_features=len(weights["synthesis.features.weight"]) // (PATCH // GRID) ** 2,
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
    """Spread of quantised components, and of their quantisation error, at each anchor: two (ANCHORS, C)."""
    steps = quantisation_steps()
    noisy = (spread**2 + steps**2).sqrt()
    return noisy, spread * steps / noisy


def grid_scales(features: int = 0) -> tuple[Tensor, Tensor]:
    """The same for the pixels of the fine grid, followed by features, which are of order one."""
    ones = torch.ones(ANCHORS, features)
    spread = torch.full((ANCHORS, 3 * GRID**2), 0.25)
    error = 0.1 * quantisation_steps().expand(-1, 3 * GRID**2)
    return torch.cat([spread, ones], 1), torch.cat([error, ones], 1)


def in_patches(x: Tensor, weight: Tensor, side: int) -> Tensor:
    """A matrix (O, C * side**2) applied to every patch of x (B, C, H, W) -> (B, O, H/side, W/side).

    That is what it makes of `pixel_unshuffle`, which would take an engine as long as the product does.
    """
    with torch.autocast(x.device.type, enabled=False):
        return F.conv2d(x.float(), weight.unflatten(1, (x.shape[1], side, side)), stride=side)


class Analysis(nn.Module):
    """Image (B, 3, H, W) in [0, 1], sides multiples of 32 -> y (B, M, H/16, W/16) in quantisation steps."""

    def __init__(self, widths: Widths, start: PrincipalComponents) -> None:
        super().__init__()
        steps = quantisation_steps()
        self.local = Block(*grid_scales(), hidden=9 * GRID**2)
        self.embed = Pointwise(768, widths.analysis, linear=True)
        scales = channel_scales(start.spread[: widths.analysis])
        self.blocks = Blocks(widths.analysis_blocks, *scales, widths.analysis_hidden)
        self.head = Pointwise(widths.analysis, widths.latents, linear=True)
        self.log_gain = Table(-steps.log().expand(-1, widths.latents))
        with torch.no_grad():
            basis = start.basis[: widths.analysis]
            self.embed.weight.copy_(basis)
            self.embed.bias.copy_(-basis @ start.mean)
            self.head.weight.copy_(torch.eye(widths.latents, widths.analysis))

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        identity = torch.eye(3 * GRID**2, device=x.device)
        grid = self.local(in_patches(x - 0.5, identity, GRID), weights)
        h = in_patches(grid, self.embed.weight, PATCH // GRID) + self.embed.bias[:, None, None]
        h = self.blocks(h, weights)
        return self.head(h) * self.log_gain(weights).exp()


class Synthesis(nn.Module):
    """Quantised y (B, M, H/16, W/16) in steps -> image (B, 3, H, W), about [0, 1], not clipped."""

    def __init__(self, widths: Widths, start: PrincipalComponents) -> None:
        super().__init__()
        steps = quantisation_steps()
        self.log_gain = Table(steps.log().expand(-1, widths.latents))
        self.blocks = Blocks(widths.synthesis_blocks, *channel_scales(start.spread[: widths.latents]))
        self.expand = Pointwise(widths.latents, 768, linear=True)
        self.log_gain_features = Table(-channel_scales(start.spread[: widths.latents])[0].log())
        self.features = Pointwise(widths.latents, (PATCH // GRID) ** 2 * widths.render_features)
        self.render = Blocks(widths.render_blocks, *grid_scales(widths.render_features))
        with torch.no_grad():
            self.expand.weight.copy_(start.basis[: widths.latents].T)
            self.expand.bias.copy_(start.mean)

    def forward(self, y: Tensor, weights: Tensor) -> Tensor:
        return self.with_pullback(y, weights)[0]

    def with_pullback(self, y: Tensor, weights: Tensor) -> tuple[Tensor, Pullback]:
        """The image, and nearly the pullback from it to y, in operations that an exported graph can hold."""
        gain, gain_features = self.log_gain(weights).exp(), self.log_gain_features(weights).exp()
        h, through_blocks = self.blocks.with_pullback(scaled(y, gain), weights)
        outputs = torch.cat([self.expand(h), self.features.of_scaled(h, gain_features).float()], 1)
        grid = scaled(F.pixel_shuffle(outputs, PATCH // GRID))
        grid, through_render = self.render.with_pullback(grid, weights)
        pixels, features = grid.split([3 * GRID**2, grid.shape[1] - 3 * GRID**2], 1)

        def pullback(gradient: Tensor) -> Tensor:
            of_pixels = F.pixel_unshuffle(gradient, GRID)
            inner = through_render(torch.cat([of_pixels, torch.zeros_like(features)], 1))
            inner = F.pixel_unshuffle(inner, PATCH // GRID)
            of_pixels, of_features = inner.split([len(self.expand.weight), len(self.features.weight)], 1)
            inner = self.expand.pullback(of_pixels) + self.features.pullback(of_features) * gain_features
            return through_blocks(inner) * gain

        return F.pixel_shuffle(pixels, GRID) + 0.5, pullback
