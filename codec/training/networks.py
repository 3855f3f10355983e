"""The networks of the codec in torch: analysis, hyperprior, means in three steps, synthesis.

    image ──► analysis ──► y ──► hyper-analysis ──► z          (the encoder)
                           │                        │
                           ▼                        ▼
              symbols = round(y - mean)   scale index = integer map of z
                           │                        │
    image ◄── synthesis ◄── symbols + mean ◄── mean from z, then from a quarter of y, then from half

Everything runs at 1/16 of the resolution except one thin residual block before the analysis and
two after the synthesis, which run on the 1/4 grid. The network starts as a linear codec: principal
components of 16x16x3 patches, an energy meter as hyper-latent, and residual branches at zero.

Sources: the shape of the transforms and of the entropy model follows PULSE (arXiv 2609.18602);
gains per quality follow Cui et al. 2021 (Gained VAE); the hyperprior Minnen et al. 2018.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from compressai.entropy_models import EntropyBottleneck, GaussianConditional
from compressai.ops import LowerBound
from torch import Tensor, nn
from torch.nn import functional as F

PATCH = 16  # pixels per latent position, each way
GRID = 4  # pixels per position of the fine grid, each way
ANCHORS = 9  # qualities at which the tables of gains are learned; linear in between
LAMBDA_RANGE = (0.0007, 0.5)  # of loss = bpp + lambda * 255**2 * MSE, at quality 0 and 100
SCALE_LEVELS = 64
SCALE_RANGE = (0.11, 256.0)  # standard deviations, in quantisation steps, of the first and last level
SCALE_STEP = math.log(SCALE_RANGE[1] / SCALE_RANGE[0]) / (SCALE_LEVELS - 1)
Z_STEP = 0.4  # of log-energy, in which the hyper-latent starts
Z_GROUP = 16  # principal components that share an energy
Z_LIMITS = (-16, 47)  # values that a hyper-latent may take


@dataclass(frozen=True, slots=True)
class Widths:
    """Channels of every part; the defaults are the `base` model."""

    latents: int = 320
    analysis: int = 384
    analysis_blocks: int = 4
    synthesis_blocks: int = 3
    render_blocks: int = 2
    means: int = 128
    context: int = 192


def anchor_weights(quality: Tensor) -> Tensor:
    """Weights (B, ANCHORS) that interpolate the tables linearly at `quality` (B,), 0 to 100."""
    position = quality[:, None] * ((ANCHORS - 1) / 100)
    anchors = torch.arange(ANCHORS, dtype=quality.dtype, device=quality.device)
    return (1 - (position - anchors).abs()).clamp(min=0)


def lagrangian(quality: Tensor) -> Tensor:
    """The lambda of each quality (B,), spaced geometrically over LAMBDA_RANGE."""
    low, high = LAMBDA_RANGE
    return low * (high / low) ** (quality / 100)


def turns(y: Tensor) -> Tensor:
    """At which step, 0 to 2, the mean of each latent (M, h, w) of y (B, M, h, w) is final.

    Step 2 is one colour of a checkerboard, the other colour is split by rows; both alternate with channels.
    """
    channel = torch.arange(y.shape[1], device=y.device)[:, None, None]
    row = torch.arange(y.shape[2], device=y.device)[:, None]
    column = torch.arange(y.shape[3], device=y.device)
    early = (row + channel // 2) % 2
    return torch.where((row + column + channel) % 2 == 0, early, 2)


def round_through(x: Tensor) -> Tensor:
    """Round to integers, with the gradient of the identity (straight-through estimator)."""
    return x + (x.round() - x).detach()


class Table(nn.Module):
    """A vector per anchor quality, interpolated for each image: (B, ANCHORS) -> (B, C, 1, 1).

    In full precision: gains and their inverses must match to far less than a quantisation step.
    """

    def __init__(self, initial: Tensor) -> None:
        super().__init__()
        self.rows = nn.Parameter(initial.clone())  # (ANCHORS, C)

    def forward(self, weights: Tensor) -> Tensor:
        with torch.autocast(weights.device.type, enabled=False):
            return (weights @ self.rows)[:, :, None, None]


class Pointwise(nn.Module):
    """A matrix applied at every position: a 1x1 convolution whose weight is two-dimensional.

    `linear` marks the linear path from pixels to latents and back, which needs full precision.
    """

    def __init__(self, inputs: int, outputs: int, zero: bool = False, linear: bool = False) -> None:
        super().__init__()
        self.linear = linear
        self.weight = nn.Parameter(torch.zeros(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        if not zero:
            nn.init.normal_(self.weight, std=inputs**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        if not self.linear and torch.is_autocast_enabled(x.device.type):
            # on a CPU in bfloat16 a matrix product is 1.5 to 2.5 times faster than the convolution
            return F.linear(x.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)
        with torch.autocast(x.device.type, enabled=False):
            return F.conv2d(x.float(), self.weight[:, :, None, None], self.bias)


class Block(nn.Module):
    """Residual block (B, C, H, W) -> same: depthwise 3x3, gain and shift per quality, two 1x1, gain.

    `spread` and `reach` (ANCHORS, C) are what the gains start from: the spread of each channel, and
    how far the branch may be expected to correct it. Without them the loud channels drown the quiet.
    """

    def __init__(self, spread: Tensor, reach: Tensor, expansion: int = 2) -> None:
        super().__init__()
        channels = spread.shape[1]
        self.spatial = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        nn.init.normal_(self.spatial.weight, std=0.05)
        with torch.no_grad():
            self.spatial.weight[:, 0, 1, 1] += 1
        self.log_gain_in = Table(-spread.log())
        self.shift = Table(torch.zeros_like(spread))
        self.expand = Pointwise(channels, expansion * channels)
        self.project = Pointwise(expansion * channels, channels, zero=True)
        self.log_gain_out = Table(reach.log())

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        h = self.spatial(x) * self.log_gain_in(weights).exp() + self.shift(weights)
        return x + self.project(F.hardswish(self.expand(h))) * self.log_gain_out(weights).exp()


class Blocks(nn.ModuleList):
    """Blocks in a row."""

    def __init__(self, count: int, spread: Tensor, reach: Tensor, expansion: int = 2) -> None:
        super().__init__(Block(spread, reach, expansion) for _ in range(count))

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        for block in self:
            x = block(x, weights)
        return x


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


def grid_scales() -> tuple[Tensor, Tensor]:
    """The same for the pixels of the fine grid."""
    return torch.full((ANCHORS, 3 * GRID**2), 0.25), 0.1 * quantisation_steps().expand(-1, 3 * GRID**2)


class Analysis(nn.Module):
    """Image (B, 3, H, W) in [0, 1], sides multiples of 32 -> y (B, M, H/16, W/16) in quantisation steps."""

    def __init__(self, widths: Widths, start: PrincipalComponents) -> None:
        super().__init__()
        steps = quantisation_steps()
        self.local = Block(*grid_scales(), expansion=3)
        self.embed = Pointwise(768, widths.analysis, linear=True)
        self.blocks = Blocks(widths.analysis_blocks, *channel_scales(start.spread[: widths.analysis]))
        self.head = Pointwise(widths.analysis, widths.latents, linear=True)
        self.log_gain = Table(-steps.log().expand(-1, widths.latents))
        with torch.no_grad():
            basis = start.basis[: widths.analysis]
            self.embed.weight.copy_(basis)
            self.embed.bias.copy_(-basis @ start.mean)
            self.head.weight.copy_(torch.eye(widths.latents, widths.analysis))

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        grid = self.local(F.pixel_unshuffle(x - 0.5, GRID), weights)
        h = self.blocks(self.embed(F.pixel_unshuffle(grid, PATCH // GRID)), weights)
        return self.head(h) * self.log_gain(weights).exp()


class Synthesis(nn.Module):
    """Quantised y (B, M, H/16, W/16) in steps -> image (B, 3, H, W), about [0, 1], not clipped."""

    def __init__(self, widths: Widths, start: PrincipalComponents) -> None:
        super().__init__()
        steps = quantisation_steps()
        self.log_gain = Table(steps.log().expand(-1, widths.latents))
        self.blocks = Blocks(widths.synthesis_blocks, *channel_scales(start.spread[: widths.latents]))
        self.expand = Pointwise(widths.latents, 768, linear=True)
        self.render = Blocks(widths.render_blocks, *grid_scales(), expansion=3)
        with torch.no_grad():
            self.expand.weight.copy_(start.basis[: widths.latents].T)
            self.expand.bias.copy_(start.mean)

    def forward(self, y: Tensor, weights: Tensor) -> Tensor:
        h = self.blocks(y * self.log_gain(weights).exp(), weights)
        grid = self.render(F.pixel_shuffle(self.expand(h), PATCH // GRID), weights)
        return F.pixel_shuffle(grid, GRID) + 0.5


def log_energy_of_gaussian(spread: float) -> float:
    """E[log(|y| + 0.03)] of a Gaussian with this standard deviation."""
    y = torch.randn(100_000, generator=torch.Generator().manual_seed(0)) * spread
    return float((y.abs() + 0.03).log().mean())


class HyperAnalysis(nn.Module):
    """y (B, M, h, w) -> z (B, M/16, h/2, w/2), not rounded: an energy meter plus a learned branch."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.floor = log_energy_of_gaussian(0.1)
        self.groups = widths.latents // Z_GROUP
        self.embed = Pointwise(2 * widths.latents, widths.means)
        self.mix = Pointwise(4 * widths.means, widths.means)
        self.head = Pointwise(widths.means, self.groups, zero=True)

    def forward(self, y: Tensor) -> Tensor:
        size = (y.shape[0], self.groups, Z_GROUP, *y.shape[2:])
        log_energy = (y.abs() + 0.03).log()
        energy = F.avg_pool2d(log_energy.reshape(size).mean(2), 2)
        h = self.embed(torch.cat([log_energy, torch.tanh(y)], 1))
        h = self.mix(F.pixel_unshuffle(F.hardswish(h), 2))
        return F.leaky_relu((energy - self.floor) / Z_STEP, 0.1) + self.head(F.hardswish(h))


class ScaleMap(nn.Module):
    """Rounded z (B, Z, h/2, w/2) -> scale index (B, M, h, w), real here, an integer map at run time.

    A 3x3 convolution with replicated borders, an offset per channel and quality, clamped to the levels.
    """

    def __init__(self, widths: Widths, start: PrincipalComponents) -> None:
        super().__init__()
        groups = widths.latents // Z_GROUP
        own = torch.arange(widths.latents) // Z_GROUP
        log_spread = start.spread[: widths.latents].log()
        in_group = log_spread.reshape(groups, Z_GROUP).mean(1)
        offset = (math.log(0.1 / SCALE_RANGE[0]) + log_spread - in_group[own]) / SCALE_STEP
        self.offset = Table(offset.expand(ANCHORS, -1))
        weight = torch.zeros(widths.latents, 4, groups, 3, 3)
        weight[torch.arange(widths.latents), :, own, 1, 1] = Z_STEP / SCALE_STEP
        self.weight = nn.Parameter(weight.flatten(0, 1))

    def forward(self, z: Tensor, weights: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            index = F.conv2d(F.pad(z, (1, 1, 1, 1), mode="replicate"), self.weight)
        return F.pixel_shuffle(index, 2) + self.offset(weights)


class FirstMeans(nn.Module):
    """Rounded z -> features (B, F, h, w) for the context and the means (B, M, h, w) of the first half."""

    def __init__(self, widths: Widths, ratio: Tensor) -> None:
        super().__init__()
        self.embed = Pointwise(widths.latents // Z_GROUP, widths.means)
        self.grow = Pointwise(widths.means, 4 * widths.means)
        self.block = Block(*[torch.ones(ANCHORS, widths.means)] * 2)
        self.head = Pointwise(widths.means, widths.latents, zero=True)
        self.log_gain = Table((0.1 * ratio).log())

    def forward(self, z: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        h = F.hardswish(self.embed(z * 0.1))
        h = self.block(F.pixel_shuffle(self.grow(h), 2), weights)
        return h, self.head(F.hardswish(h)) * self.log_gain(weights).exp()


class NextMeans(nn.Module):
    """Features, the means so far and the known part of y, zero elsewhere -> means (B, M, h, w) refined."""

    def __init__(self, widths: Widths, ratio: Tensor) -> None:
        super().__init__()
        self.log_gain_in = Table(-torch.log1p(ratio))
        self.embed = Pointwise(widths.latents + widths.means, widths.context)
        self.blocks = Blocks(2, *[torch.ones(ANCHORS, widths.context)] * 2)
        self.head = Pointwise(widths.context, widths.latents, zero=True)
        self.log_gain_out = Table((0.1 * ratio).log())

    def forward(self, features: Tensor, means: Tensor, known: Tensor, weights: Tensor) -> Tensor:
        h = torch.cat([known * self.log_gain_in(weights).exp(), features], 1)
        h = self.head(self.blocks(self.embed(h), weights))
        return means + h * self.log_gain_out(weights).exp()


@dataclass(frozen=True, slots=True)
class Coded:
    """What coding a batch gives: the decoded images (B, 3, H, W) and the bits (B,) of y and of z."""

    images: Tensor
    y_bits: Tensor
    z_bits: Tensor


class Codec(nn.Module):
    """The whole codec, differentiable; `start` is None when weights are about to be loaded."""

    def __init__(self, widths: Widths | None = None, start: PrincipalComponents | None = None) -> None:
        super().__init__()
        widths = widths or Widths()
        start = start or PrincipalComponents(torch.zeros(768), torch.eye(768), torch.ones(768))
        ratio = start.spread[: widths.latents] / quantisation_steps()
        self.widths = widths
        self.analysis = Analysis(widths, start)
        self.hyper_analysis = HyperAnalysis(widths)
        self.scale_map = ScaleMap(widths, start)
        self.first_means = FirstMeans(widths, ratio)
        self.second_means = NextMeans(widths, ratio)
        self.third_means = NextMeans(widths, ratio)
        self.synthesis = Synthesis(widths, start)
        self.z_prior = EntropyBottleneck(ANCHORS * widths.latents // Z_GROUP, init_scale=8)
        self.y_prior = GaussianConditional(None)
        self.lowest_index = LowerBound(0)

    def forward(self, x: Tensor, quality: Tensor) -> Coded:
        """Code images (B, 3, H, W) in [0, 1], sides multiples of 32, each at its quality (B,)."""
        weights = anchor_weights(quality)
        y = self.analysis(x, weights).float()
        z = self.hyper_analysis(y).float().clamp(*Z_LIMITS)
        z_hat = round_through(z)
        features, means = self.first_means(z_hat, weights)
        turn = turns(y)
        for step, refine in enumerate((self.second_means, self.third_means), start=1):
            known = torch.where(turn < step, round_through(y - means) + means, 0)
            means = torch.where(turn < step, means, refine(features, means, known, weights)).float()
        y_hat = round_through(y - means) + means
        return Coded(
            images=self.synthesis(y_hat, weights),
            y_bits=self.y_bits(y - means, self.scale_map(z_hat, weights).float()),
            z_bits=self.z_bits(z, weights),
        )

    def y_bits(self, residual: Tensor, index: Tensor) -> Tensor:
        """Bits (B,) of y - mean: with uniform noise in training, rounded otherwise."""
        index = self.lowest_index(index).clamp(max=SCALE_LEVELS - 1)
        if not self.training:
            index = index.round()
        scales = SCALE_RANGE[0] * (index * SCALE_STEP).exp()
        _, likelihood = self.y_prior(residual, scales)
        return -likelihood.log2().sum((1, 2, 3))

    def z_bits(self, z: Tensor, weights: Tensor) -> Tensor:
        """Bits (B,) of z under the mixture of the anchors' priors."""
        batch, channels, height, width = z.shape
        _, likelihood = self.z_prior(z.repeat(1, ANCHORS, 1, 1))
        likelihood = likelihood.reshape(batch, ANCHORS, channels, height, width)
        mixture = (likelihood * weights[:, :, None, None, None]).sum(1)
        return -mixture.clamp(min=1e-9).log2().sum((1, 2, 3))
