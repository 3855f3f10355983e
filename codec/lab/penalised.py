"""Sparse and contractive autoencoders: a penalty on the latents instead of few of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aecodec.lab.autoencoder import FreeAutoencoder, squared_error

# Weights of the penalties beside the squared error of a digit, about 5.
SPARSITY = 0.05
CONTRACTION = 0.02


class Sparse(FreeAutoencoder):
    """One hidden layer of rectified latents, most of which are 0: their sum is penalised."""

    def __init__(self, shape: tuple[int, int], latents: int) -> None:
        super().__init__(shape, latents)
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(self.values, latents), nn.ReLU())
        self.decoder = nn.Sequential(nn.Linear(latents, self.values), nn.Unflatten(1, (1, *shape)))

    def analysis(self, x: Tensor) -> Tensor:
        return self.encoder(x)

    def synthesis(self, y: Tensor) -> Tensor:
        # Columns of length 1: else small latents and large weights would evade the penalty.
        weight = nn.functional.normalize(self.decoder[0].weight, dim=0)
        return self.decoder[1](nn.functional.linear(y, weight, self.decoder[0].bias))

    def loss(self, x: Tensor) -> Tensor:
        y = self.analysis(x)
        return squared_error(self.synthesis(y), x) + SPARSITY * y.sum(1).mean()


class Contractive(FreeAutoencoder):
    """One hidden layer of sigmoids whose Jacobian is penalised (Rifai et al. 2011), with tied weights."""

    def __init__(self, shape: tuple[int, int], latents: int) -> None:
        super().__init__(shape, latents)
        self.hidden = nn.Linear(self.values, latents)
        self.bias = nn.Parameter(torch.zeros(self.values))

    def analysis(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.hidden(x.flatten(1)))

    def synthesis(self, y: Tensor) -> Tensor:
        return (y @ self.hidden.weight + self.bias).unflatten(1, (1, *self.shape))

    def loss(self, x: Tensor) -> Tensor:
        y = self.analysis(x)
        # Squared norm of the Jacobian: each row is a row of weights times the slope of its sigmoid.
        jacobian = ((y * (1 - y)) ** 2 @ (self.hidden.weight**2).sum(1)).mean()
        return squared_error(self.synthesis(y), x) + CONTRACTION * jacobian
