"""Fully connected autoencoders: one linear layer each way, and the deep one of 1024-128-64-32-k."""

from __future__ import annotations

from torch import Tensor, nn

from aecodec.lab.autoencoder import Autoencoder, layers


class Dense(Autoencoder):
    """Values -> hidden widths -> latents, and the same back. Without hidden widths it is linear."""

    def __init__(self, shape: tuple[int, int], latents: int, hidden: tuple[int, ...] = ()) -> None:
        super().__init__(shape, latents)
        self.encoder = nn.Sequential(nn.Flatten(), layers(self.values, *hidden, latents))
        self.decoder = nn.Sequential(
            layers(latents, *reversed(hidden), self.values), nn.Unflatten(1, (1, *shape))
        )

    def analysis(self, x: Tensor) -> Tensor:
        return self.encoder(x)

    def synthesis(self, y: Tensor) -> Tensor:
        return self.decoder(y)
