"""What every autoencoder of the lab is: an analysis, a synthesis, and a prior that says what latents cost.

    x (B, 1, H, W) -> analysis -> - mean, * gain -> y (B, K) -> round -> / gain, + mean -> synthesis -> x_hat

A family defines `analysis` and `synthesis`, and `loss` where it is not squared error plus rate.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise

import torch
from torch import Tensor, nn

# Bits that a squared error of 1, summed over a picture, is worth. At the 300 bits that a file of 48 bytes
# leaves to a digit of MNIST, so many bits more save principal components that error.
LAGRANGIAN = 80.0
# Standard deviation of a latent in quantiser steps where training starts. A latent then costs about 4 bits.
START_DEVIATION = 4.0
LEAST_PROBABILITY = 1e-9  # of a symbol, so that none costs infinitely many bits
START_SAMPLES = 2048  # whose latents set the gains: more change them by less than 2 %


class Prior(nn.Module):
    """A mixture of two logistic distributions for each of K latents.

    With uniform noise for rounding (Ballé et al. 2017) its bits are those of an entropy coder.
    """

    def __init__(self, latents: int) -> None:
        super().__init__()
        self.means = nn.Parameter(torch.zeros(2, latents))
        self.log_scales = nn.Parameter(torch.zeros(2, latents))
        self.mixing = nn.Parameter(torch.zeros(latents))

    def start(self, deviation: Tensor) -> None:
        """Begin with these standard deviations (K,), one component narrow and one wide."""
        self.log_scales.data = torch.stack([(0.7 * deviation + 0.1).log(), (0.25 * deviation + 0.1).log()])

    def bits(self, y: Tensor) -> Tensor:
        """Bits (B, K) of latents (B, K), each rounded to a whole number."""
        distance = (y[None] - self.means[:, None]).abs()
        inverse_scale = torch.exp(-self.log_scales)[:, None]
        # The difference of two sigmoids below zero keeps its digits far from the mean.
        upper, lower = (torch.sigmoid((edge - distance) * inverse_scale) for edge in (0.5, -0.5))
        parts = upper - lower
        share = torch.sigmoid(self.mixing)
        likelihood = share * parts[0] + (1 - share) * parts[1]
        return -torch.log2(likelihood.clamp_min(LEAST_PROBABILITY))


class Autoencoder(nn.Module, ABC):
    """An autoencoder of samples (B, 1, H, W) with K latents."""

    def __init__(self, shape: tuple[int, int], latents: int) -> None:
        super().__init__()
        self.shape, self.latents = shape, latents
        self.offset = nn.Parameter(torch.zeros(latents))  # of each latent, about its mean
        self.log_gain = nn.Parameter(torch.zeros(latents))  # quantiser steps in a unit of each latent
        self.prior = Prior(latents)

    @property
    def values(self) -> int:
        """Values of a sample."""
        return self.shape[0] * self.shape[1]

    @abstractmethod
    def analysis(self, x: Tensor) -> Tensor:
        """Latents (B, K) of samples (B, 1, H, W), in units of the network."""

    @abstractmethod
    def synthesis(self, y: Tensor) -> Tensor:
        """Samples (B, 1, H, W) of latents (B, K)."""

    def corrupt(self, x: Tensor) -> Tensor:
        """What the encoder sees of samples (B, 1, H, W): they themselves, unless a family spoils them."""
        return x

    def start(self, x: Tensor) -> None:
        """Set what training samples (N, 1, H, W) say before the first step: here the gains and the prior."""
        y = self.analysis(x[:START_SAMPLES])
        self.offset.data = y.mean(0)
        self.log_gain.data = torch.log(START_DEVIATION / (y.std(0) + 1e-6))
        self.prior.start(torch.full((self.latents,), START_DEVIATION))

    def finish(self, x: Tensor) -> None:
        """Set what is known after training: the gains, where a family has not learned them."""

    def encode(self, x: Tensor) -> Tensor:
        """Latents (B, K) in quantiser steps."""
        return (self.analysis(x) - self.offset) * self.log_gain.exp()

    def decode(self, y: Tensor) -> Tensor:
        """Samples (B, 1, H, W) of latents (B, K) in quantiser steps."""
        return self.synthesis(y / self.log_gain.exp() + self.offset)

    def loss(self, x: Tensor) -> Tensor:
        """Squared error summed over a sample, plus the rate: the mean of a batch (B, 1, H, W)."""
        y = self.encode(self.corrupt(x))
        y = y + torch.rand_like(y) - 0.5
        return squared_error(self.decode(y), x) + self.prior.bits(y).sum(1).mean() / LAGRANGIAN


class FreeAutoencoder(Autoencoder):
    """An autoencoder that learns without a rate, as tutorials do; its gains are set when it has learned."""

    def start(self, x: Tensor) -> None:
        """Nothing is known before training."""

    def finish(self, x: Tensor) -> None:
        """Give each latent the same standard deviation in quantiser steps; silent ones stay silent."""
        y = self.analysis(x[:START_SAMPLES])
        self.offset.data, deviation = y.mean(0), y.std(0)
        self.log_gain.data = torch.log(
            START_DEVIATION / deviation.clamp_min(0.1 * float(deviation.max()) + 1e-6)
        )


def squared_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """The squared error of a batch, summed over each sample."""
    return ((x_hat - x) ** 2).sum() / len(x)


def layers(*widths: int) -> nn.Sequential:
    """Fully connected layers of these widths with GELU between them."""
    parts: list[nn.Module] = []
    for before, after in pairwise(widths):
        parts += [nn.Linear(before, after), nn.GELU()]
    return initialised(nn.Sequential(*parts[:-1]))


def initialised(network: nn.Sequential) -> nn.Sequential:
    """A network whose layers keep the variance of what they pass on (He et al. 2015).

    PyTorch's default loses two thirds of it in each layer, so ten layers learn nothing for hundreds of steps.
    """
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return network


def close_to_zero(layer: nn.Module) -> None:
    """Start the last layer of a branch at zero, so that the branch adds nothing at first."""
    assert isinstance(layer, nn.Linear)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
