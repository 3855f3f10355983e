"""Autoencoders that generate: their latents have a standard normal distribution, so new ones can be drawn.

The variational one (Kingma and Welling 2014) pays for the distance from it, beta times as much in the
beta-VAE (Higgins et al. 2017). The adversarial one (Makhzani et al. 2015) has a critic that tells its latents
from normal ones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd import Function

from aecodec.lab.autoencoder import START_DEVIATION, START_SAMPLES, FreeAutoencoder, layers, squared_error

# Variance of a pixel round what is decoded. It sets the squared error against the divergence: with 0.03 the
# strokes of MNIST stay sharp.
PIXEL_VARIANCE = 0.03
CRITIC_WEIGHT = 10.0  # of the critic's loss, about 0.7, beside a squared error of 20 to 30


class Generative(FreeAutoencoder):
    """Latents of about unit variance round 0.

    New ones are drawn from the Gaussian that those of training samples have in the end, since short training
    leaves them wider than the standard one (Ghosh et al. 2020).
    """

    def __init__(self, shape: tuple[int, int], latents: int) -> None:
        super().__init__(shape, latents)
        self.encoder = nn.Sequential(nn.Flatten(), layers(self.values, 400, 200, 2 * latents))
        self.decoder = nn.Sequential(layers(latents, 200, 400, self.values), nn.Unflatten(1, (1, *shape)))
        self.register_buffer("centre", torch.zeros(latents))
        self.register_buffer("spread", torch.eye(latents))  # root of the covariance

    def analysis(self, x: Tensor) -> Tensor:
        return self.encoder(x)[:, : self.latents]

    def synthesis(self, y: Tensor) -> Tensor:
        return self.decoder(y)

    def draw(self, count: int) -> Tensor:
        """New samples (count, 1, H, W)."""
        return self.synthesis(self.centre + torch.randn(count, self.latents) @ self.spread.T)

    def finish(self, x: Tensor) -> None:
        y = self.analysis(x[:START_SAMPLES])
        self.centre.copy_(y.mean(0))
        self.spread.copy_(torch.linalg.cholesky(torch.cov(y.T) + 1e-6 * torch.eye(self.latents)))


class Variational(Generative):
    """The encoder gives a mean and a variance of each latent."""

    def __init__(self, shape: tuple[int, int], latents: int, beta: float = 1.0) -> None:
        super().__init__(shape, latents)
        self.beta = beta

    def loss(self, x: Tensor) -> Tensor:
        mean, log_variance = self.encoder(x).chunk(2, 1)
        log_variance = log_variance.clamp(-10, 4)  # an early step may overflow the exponential
        y = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
        return squared_error(self.synthesis(y), x) + 2 * PIXEL_VARIANCE * self.beta * divergence

    def finish(self, x: Tensor) -> None:
        """A latent's noise is a quantiser step, as far as it tells anything; the others stay silent."""
        super().finish(x)
        _, log_variance = self.encoder(x[:START_SAMPLES]).chunk(2, 1)
        self.log_gain.data = -0.5 * log_variance.mean(0).clamp(-6, 0)


class Reverse(Function):
    """Identity whose gradient is reversed (Ganin and Lempitsky 2015): one loss trains both opponents."""

    @staticmethod
    def forward(context: object, y: Tensor) -> Tensor:
        return y.view_as(y)

    @staticmethod
    def backward(context: object, gradient: Tensor) -> Tensor:
        return -gradient


class Adversarial(Generative):
    """A critic learns to tell latents from normal ones, and the encoder learns to deceive it."""

    def __init__(self, shape: tuple[int, int], latents: int) -> None:
        super().__init__(shape, latents)
        self.critic = layers(latents, 128, 128, 1)

    def loss(self, x: Tensor) -> Tensor:
        y = self.analysis(x)
        verdicts = self.critic(torch.cat([Reverse.apply(y), torch.randn_like(y)]))
        truth = torch.cat([torch.zeros(len(y), 1), torch.ones(len(y), 1)])
        critic = nn.functional.binary_cross_entropy_with_logits(verdicts, truth)
        noisy = y + 0.1 * torch.randn_like(y)  # so that near latents decode alike
        return squared_error(self.synthesis(noisy), x) + CRITIC_WEIGHT * critic

    def finish(self, x: Tensor) -> None:
        super().finish(x)
        self.log_gain.data.fill_(torch.log(torch.tensor(START_DEVIATION)))
