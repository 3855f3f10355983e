"""The whole codec in torch: analysis, hyperprior, means in three steps, synthesis.

    image ──► analysis ──► y ──► hyper-analysis ──► z          (the encoder)
                           │                        │
                           ▼                        ▼
              symbols = round(y - mean)   scale index = integer map of z
                           │                        │
    image ◄── synthesis ◄── symbols + mean ◄── mean from z, then from a quarter of y, then from half

The network starts as a linear codec: principal components of 16x16x3 patches, an energy meter as
hyper-latent, and residual branches at zero.

Sources: the shape of the transforms and of the entropy model follows PULSE (arXiv 2609.18602);
gains per quality follow Cui et al. 2021 (Gained VAE); the hyperprior Minnen et al. 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from compressai.entropy_models import EntropyBottleneck, GaussianConditional
from compressai.ops import LowerBound
from torch import Tensor, nn

from aecodec.entropy.tables import SCALE_LEVELS
from aecodec.training.hyperprior import (
    SCALE_RANGE,
    SCALE_STEP,
    Z_GROUP,
    FirstMeans,
    HyperAnalysis,
    HyperPrediction,
    NextMeans,
    Quantiser,
    ScaleMap,
    nearest_level,
    round_through,
    turns,
)
from aecodec.training.layers import ANCHORS, anchor_weights
from aecodec.training.loop import load_weights, read_weights
from aecodec.training.transforms import (
    Analysis,
    PrincipalComponents,
    Synthesis,
    Widths,
    quantisation_steps,
    widths_in,
)

Z_LIMITS = (-16, 47)  # values that a hyper-latent may take


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
        self.hyper_prediction = HyperPrediction(widths)
        self.scale_map = ScaleMap(widths, start)
        self.quantiser = Quantiser()
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
        index = self.scale_map(z_hat, weights).float()
        means = self.means(y, z_hat, index, weights)
        return Coded(
            images=self.synthesis(self.quantiser(y, means, index), weights),
            y_bits=self.y_bits(y - means, index) if self.training else self.symbol_bits(y - means, index),
            z_bits=self.z_bits(z - self.hyper_prediction(z_hat, weights), weights),
        )

    def means(self, y: Tensor, z: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        """The means (B, M, h, w) of y, given rounded z, each from the part of y that is known before it."""
        features, means = self.first_means(z, weights)
        turn = turns(y)
        for step, refine in enumerate((self.second_means, self.third_means), start=1):
            known = torch.where(turn < step, self.quantiser(y, means, index), 0)
            means = torch.where(turn < step, means, refine(features, means, known, weights)).float()
        return means

    def through_means(
        self, y: Tensor, features: Tensor, slopes: Tensor, turn: Tensor, weights: Tensor
    ) -> Tensor:
        """Nearly the gradient of bits with respect to the decoder's y, through the means that it refines.

        `slopes` say how fast bits rise with each residual, in bits a step; they, y and `turn`, 0 to 2, are
        (B, M, h, w), `features` (B, F, h, w).
        """
        gradient = torch.zeros_like(y)
        for step, refine in enumerate((self.second_means, self.third_means), start=1):
            known = turn < step
            _, pullback = refine.with_pullback(features, y * known, weights)
            gradient = gradient - pullback(slopes * ~known) * known  # the last means are the sum of all
        return gradient

    def y_bits(self, residual: Tensor, index: Tensor) -> Tensor:
        """Bits (B,) of y - mean at real scale indices: with uniform noise in training, rounded otherwise."""
        index = self.lowest_index(index).clamp(max=SCALE_LEVELS - 1)
        scales = SCALE_RANGE[0] * (index * SCALE_STEP).exp()
        _, likelihood = self.y_prior(residual, scales)
        return -likelihood.log2().sum((1, 2, 3))

    def symbol_bits(self, residual: Tensor, index: Tensor) -> Tensor:
        """Bits (B,) of the symbols that files hold for y - mean, at whole scale indices."""
        return self.y_bits(self.quantiser.symbols(residual, nearest_level(index)), index.round())

    def z_bits(self, residual: Tensor, weights: Tensor) -> Tensor:
        """Bits (B,) of z minus what was expected, under the mixture of the anchors' priors."""
        batch, channels, height, width = residual.shape
        _, likelihood = self.z_prior(residual.repeat(1, ANCHORS, 1, 1))
        likelihood = likelihood.reshape(batch, ANCHORS, channels, height, width)
        mixture = (likelihood * weights[:, :, None, None, None]).sum(1)
        return -mixture.clamp(min=1e-9).log2().sum((1, 2, 3))


def load_codec(path: Path) -> Codec:
    """The codec of a safetensors file, as wide as its weights say; raises ModelError for others."""
    network: Codec = load_weights(Codec(widths_in(read_weights(path))), path)
    return network
