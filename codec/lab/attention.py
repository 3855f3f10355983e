"""An autoencoder of attention (Vaswani et al. 2017): patches of 4x4 are tokens, each keeps a few latents."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aecodec.lab.autoencoder import Autoencoder
from aecodec.lab.convolutional import padded, quarter

PATCH = 4


class Attention(Autoencoder):
    """Transformer layers over all patches before and after the latents."""

    def __init__(self, shape: tuple[int, int], channels: int, width: int = 48, depth: int = 2) -> None:
        self.grid = quarter(shape)
        tokens = self.grid[0] * self.grid[1]
        super().__init__(shape, channels * tokens)
        self.places = nn.Parameter(0.02 * torch.randn(2, tokens, width))  # of the encoder and of the decoder
        self.embed, self.squeeze = nn.Linear(PATCH**2, width), nn.Linear(width, channels)
        self.widen, self.paint = nn.Linear(channels, width), nn.Linear(width, PATCH**2)
        self.encoder, self.decoder = (
            nn.ModuleList(
                nn.TransformerEncoderLayer(
                    width, 4, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True
                )
                for _ in range(depth)
            )
            for _ in range(2)
        )

    def analysis(self, x: Tensor) -> Tensor:
        patches = nn.functional.unfold(padded(x, self.shape), PATCH, stride=PATCH).transpose(1, 2)
        tokens = self.embed(patches) + self.places[0]
        for layer in self.encoder:
            tokens = layer(tokens)
        return self.squeeze(tokens).flatten(1)

    def synthesis(self, y: Tensor) -> Tensor:
        tokens = self.widen(y.unflatten(1, (self.grid[0] * self.grid[1], -1))) + self.places[1]
        for layer in self.decoder:
            tokens = layer(tokens)
        sides = PATCH * self.grid[0], PATCH * self.grid[1]
        x_hat = nn.functional.fold(self.paint(tokens).transpose(1, 2), sides, PATCH, stride=PATCH)
        return x_hat[..., : self.shape[0], : self.shape[1]]
