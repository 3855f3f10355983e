"""Convolutional autoencoders: 8-16-k with upsampling, and 32-64-dense with transposed convolutions."""

from __future__ import annotations

from torch import Tensor, nn

from aecodec.lab.autoencoder import Autoencoder


def quarter(shape: tuple[int, int]) -> tuple[int, int]:
    """Sides after two layers of stride 2, each rounded up."""
    return -(-shape[0] // 4), -(-shape[1] // 4)


def padded(x: Tensor, shape: tuple[int, int]) -> Tensor:
    """Samples (B, 1, H, W) with sides of whole fours, repeated at the right and at the bottom."""
    height, width = (4 * side for side in quarter(shape))
    return nn.functional.pad(x, (0, width - shape[1], 0, height - shape[0]), mode="replicate")


class Upsampling(Autoencoder):
    """Convolutions 8-16-k of stride 2, 2 and 1; the decoder repeats pixels, then convolves."""

    def __init__(self, shape: tuple[int, int], channels: int) -> None:
        self.grid = quarter(shape)
        super().__init__(shape, channels * self.grid[0] * self.grid[1])
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 8, 3, 2, 1),
            nn.GELU(),
            nn.Conv2d(8, 16, 3, 2, 1),
            nn.GELU(),
            nn.Conv2d(16, channels, 3, 1, 1),
        )
        self.decoder = nn.Sequential(
            nn.Unflatten(1, (channels, *self.grid)),
            nn.Conv2d(channels, 16, 3, 1, 1),
            nn.GELU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(16, 8, 3, 1, 1),
            nn.GELU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(8, 1, 3, 1, 1),
        )

    def analysis(self, x: Tensor) -> Tensor:
        return self.encoder(padded(x, self.shape)).flatten(1)

    def synthesis(self, y: Tensor) -> Tensor:
        return self.decoder(y)[..., : self.shape[0], : self.shape[1]]


class Transposed(Autoencoder):
    """Convolutions 32-64 of stride 2 and a dense layer; the decoder mirrors it, with transposed ones."""

    def __init__(self, shape: tuple[int, int], latents: int) -> None:
        super().__init__(shape, latents)
        grid = quarter(shape)
        inner = 64 * grid[0] * grid[1]
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 32, 3, 2, 1),
            nn.GELU(),
            nn.Conv2d(32, 64, 3, 2, 1),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(inner, latents),
        )
        self.decoder = nn.Sequential(
            nn.Linear(latents, inner),
            nn.GELU(),
            nn.Unflatten(1, (64, *grid)),
            nn.ConvTranspose2d(64, 32, 4, 2, 1),
            nn.GELU(),
            nn.ConvTranspose2d(32, 1, 4, 2, 1),
        )

    def analysis(self, x: Tensor) -> Tensor:
        return self.encoder(padded(x, self.shape))

    def synthesis(self, y: Tensor) -> Tensor:
        return self.decoder(y)[..., : self.shape[0], : self.shape[1]]
