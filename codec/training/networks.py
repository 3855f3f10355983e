"""The whole codec in torch: analysis, hyperprior, means in three context passes, synthesis.

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
    latent_passes,
    nearest_scale_index,
    round_through,
)
from aecodec.training.layers import ANCHORS, anchor_weights
from aecodec.training.loop import load_weights, read_weights
from aecodec.training.transforms import (
    Analysis,
    CodecConfig,
    PrincipalComponents,
    Synthesis,
    config_of,
    quantisation_steps,
)

# Least and greatest value of a hyper-latent. A wider range makes the tables of z larger; values outside are
# clamped.
Z_LIMITS = (-16, 47)


@dataclass(frozen=True, slots=True)
class ForwardResult:
    """The result of a forward pass: decoded images (B, 3, H, W) and the bits (B,) of y and of z."""

    images: Tensor
    y_bits: Tensor
    z_bits: Tensor


class Codec(nn.Module):
    """The whole codec, differentiable; `start` is None when weights are about to be loaded."""

    def __init__(self, config: CodecConfig | None = None, start: PrincipalComponents | None = None) -> None:
        super().__init__()
        config = config or CodecConfig()
        start = start or PrincipalComponents(torch.zeros(768), torch.eye(768), torch.ones(768))
        ratio = start.spread[: config.latents] / quantisation_steps()
        self.config = config
        self.analysis = Analysis(config, start)
        self.hyper_analysis = HyperAnalysis(config)
        self.hyper_prediction = HyperPrediction(config)
        self.scale_map = ScaleMap(config, start)
        self.quantiser = Quantiser()
        self.first_means = FirstMeans(config, ratio)
        self.second_means = NextMeans(config, ratio)
        self.third_means = NextMeans(config, ratio)
        self.synthesis = Synthesis(config, start)
        self.z_prior = EntropyBottleneck(ANCHORS * config.latents // Z_GROUP, init_scale=8)
        self.y_prior = GaussianConditional(None)
        self.lowest_index = LowerBound(0)

    def forward(self, x: Tensor, quality: Tensor) -> ForwardResult:
        """Code images (B, 3, H, W) in [0, 1], sides multiples of 32, each at its quality (B,)."""
        weights = anchor_weights(quality)
        y = self.analysis(x, weights).float()
        z = self.hyper_analysis(y).float().clamp(*Z_LIMITS)
        z_hat = round_through(z)
        scale_index = self.scale_map(z_hat, weights).float()
        means = self.means(y, z_hat, scale_index, weights)
        return ForwardResult(
            images=self.synthesis(self.quantiser(y, means, scale_index), weights),
            y_bits=self.y_bits(y - means, scale_index)
            if self.training
            else self.symbol_bits(y - means, scale_index),
            z_bits=self.z_bits(z - self.hyper_prediction(z_hat, weights), weights),
        )

    def means(self, y: Tensor, z: Tensor, scale_index: Tensor, weights: Tensor) -> Tensor:
        """The means (B, M, h, w) of y, given rounded z. Those of a pass depend on y in the passes before."""
        features, means = self.first_means(z, weights)
        passes = latent_passes(y)
        for number, network in enumerate((self.second_means, self.third_means), start=1):
            known = torch.where(passes < number, self.quantiser(y, means, scale_index), 0)
            means = torch.where(passes < number, means, network(features, means, known, weights)).float()
        return means

    def bits_gradient(
        self, y: Tensor, features: Tensor, bit_derivatives: Tensor, passes: Tensor, weights: Tensor
    ) -> Tensor:
        """An approximate gradient of bits with respect to y_hat, through the means of later passes.

        `bit_derivatives` are those of bits with respect to each residual, in bits a quantisation step. They,
        y and `passes` (0 to 2) are (B, M, h, w); `features` are (B, F, h, w).
        """
        gradient = torch.zeros_like(y)
        for number, network in enumerate((self.second_means, self.third_means), start=1):
            known = passes < number
            _, vjp = network.with_vjp(features, y * known, weights)
            gradient = gradient - vjp(bit_derivatives * ~known) * known  # the last means are the sum of all
        return gradient

    def y_bits(self, residual: Tensor, scale_index: Tensor) -> Tensor:
        """Bits (B,) of y - mean at real scale indices: with uniform noise in training, rounded otherwise."""
        scale_index = self.lowest_index(scale_index).clamp(max=SCALE_LEVELS - 1)
        scales = SCALE_RANGE[0] * (scale_index * SCALE_STEP).exp()
        _, likelihood = self.y_prior(residual, scales)
        return -likelihood.log2().sum((1, 2, 3))

    def symbol_bits(self, residual: Tensor, scale_index: Tensor) -> Tensor:
        """Bits (B,) of the symbols that files hold for y - mean, at whole scale indices."""
        return self.y_bits(
            self.quantiser.symbols(residual, nearest_scale_index(scale_index)), scale_index.round()
        )

    def z_bits(self, residual: Tensor, weights: Tensor) -> Tensor:
        """Bits (B,) of z minus its prediction, under a mixture of the priors of the anchors."""
        batch, channels, height, width = residual.shape
        _, likelihood = self.z_prior(residual.repeat(1, ANCHORS, 1, 1))
        likelihood = likelihood.reshape(batch, ANCHORS, channels, height, width)
        mixture = (likelihood * weights[:, :, None, None, None]).sum(1)
        return -mixture.clamp(min=1e-9).log2().sum((1, 2, 3))


def load_codec(path: Path) -> Codec:
    """The codec of a safetensors file, configured as its weights say.

    Raises ModelError if they are of no codec.
    """
    network: Codec = load_weights(Codec(config_of(read_weights(path))), path)
    return network
