"""Principal components, and networks that start as them.

`Components` is the Karhunen-Loève transform, which needs no training: the baseline. `Transform` adds branches
of fully connected layers to it, which start at zero. So its first step already is a good codec.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aecodec.lab.autoencoder import Autoencoder, close_to_zero, layers

# Quantiser step of principal components, on pixels in [0, 1]: at it 300 bits code a digit of MNIST.
STEP = 0.5


class Components(Autoencoder):
    """Projection on the first principal components of the training samples."""

    def __init__(self, shape: tuple[int, int], latents: int) -> None:
        super().__init__(shape, min(latents, shape[0] * shape[1]))
        self.mean = nn.Parameter(torch.zeros(self.values))
        self.project = nn.Parameter(torch.zeros(self.values, self.latents))
        self.expand = nn.Parameter(torch.zeros(self.latents, self.values))

    def analysis(self, x: Tensor) -> Tensor:
        return (x.flatten(1) - self.mean) @ self.project

    def synthesis(self, y: Tensor) -> Tensor:
        return (y @ self.expand + self.mean).unflatten(1, (1, *self.shape))

    def start(self, x: Tensor) -> None:
        """Set the mean, the components and their gains from training samples (N, 1, H, W)."""
        flat = x.flatten(1)
        self.mean.data = flat.mean(0)
        variances, vectors = torch.linalg.eigh(torch.cov(flat.T) + 1e-9 * torch.eye(self.values))
        axes = vectors.flip(1)[:, : self.latents].contiguous()
        self.project.data, self.expand.data = axes, axes.T.contiguous()
        self.log_gain.data.fill_(-torch.log(torch.tensor(STEP)))
        self.prior.start(variances.flip(0)[: self.latents].clamp_min(0).sqrt() / STEP)


class Transform(Components):
    """Principal components plus a learned branch each way: two layers to encode, three to decode."""

    def __init__(self, shape: tuple[int, int], latents: int, width: int) -> None:
        super().__init__(shape, latents)
        self.encoder = layers(self.values, width, self.latents)
        self.decoder = layers(self.latents, width, width, self.values)
        close_to_zero(self.encoder[-1])
        close_to_zero(self.decoder[-1])

    def analysis(self, x: Tensor) -> Tensor:
        flat = x.flatten(1) - self.mean
        return flat @ self.project + self.encoder(flat)

    def synthesis(self, y: Tensor) -> Tensor:
        return super().synthesis(y) + self.decoder(y).unflatten(1, (1, *self.shape))


class Denoising(Transform):
    """A transform that sees noisy samples and shall give the clean ones (Vincent et al. 2008)."""

    def __init__(self, shape: tuple[int, int], latents: int, width: int, noise: float) -> None:
        super().__init__(shape, latents, width)
        self.noise = noise

    def corrupt(self, x: Tensor) -> Tensor:
        """Samples with Gaussian noise, clipped to [0, 1]: the noise of the tutorials."""
        return (x + self.noise * torch.randn_like(x)).clamp(0, 1)


class Inpainting(Transform):
    """A transform whose encoder sees samples with a square hole, a third of the sides, at a random place."""

    def corrupt(self, x: Tensor) -> Tensor:
        height, width = (max(1, side // 3) for side in self.shape)
        tops, lefts = (
            torch.randint(0, side - hole + 1, (len(x), 1, 1, 1))
            for side, hole in zip(self.shape, (height, width), strict=True)
        )
        rows, columns = torch.arange(self.shape[0])[:, None], torch.arange(self.shape[1])
        inside = (rows >= tops) & (rows < tops + height) & (columns >= lefts) & (columns < lefts + width)
        return x.masked_fill(inside, 0.5)
