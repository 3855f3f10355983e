"""The networks of the stages in torch: denoising and artefact removal, and two for upscaling."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aecodec.restoration.upscaling import SCALES

BRANCH_GAIN = (
    0.1  # of a residual block's second convolution at the start: small, so that deep networks start tame
)


class ResidualBlock(nn.Module):
    """(B, C, H, W) -> same: two 3x3 convolutions without bias around a ReLU, added to the input."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, hidden, 3, padding=1, bias=False)
        self.second = nn.Conv2d(hidden, channels, 3, padding=1, bias=False)
        with torch.no_grad():
            self.second.weight *= BRANCH_GAIN

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x)))


def blocks(channels: int, count: int, expansion: int = 1) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels, expansion * channels) for _ in range(count)))


class Restorer(nn.Module):
    """A residual U-Net: image (B, 3, H, W) in [0, 1], sides multiples of 8 -> the image as it was, cleaner.

    With `sigma` it takes the noise's standard deviation (B, 1, H, W), on the same scale, as a second input.
    No layer has a bias, so the network scales with its input. It starts as the identity.

    Source: after DRUNet (Zhang et al. 2021, arXiv 2008.13751), smaller, on 2x2 pixels as in FFDNet.
    """

    def __init__(
        self,
        sigma: bool,
        widths: tuple[int, int, int] = (32, 64, 128),
        expansions: tuple[int, int, int] = (2, 1, 1),
        count: int = 2,
    ) -> None:
        super().__init__()
        half, quarter, eighth = widths
        at_half, at_quarter, at_eighth = expansions
        self.enter = nn.Conv2d(4 * (3 + sigma), half, 3, padding=1, bias=False)
        self.encode_half = blocks(half, count, at_half)
        self.to_quarter = nn.Conv2d(half, quarter, 2, 2, bias=False)
        self.encode_quarter = blocks(quarter, count, at_quarter)
        self.to_eighth = nn.Conv2d(quarter, eighth, 2, 2, bias=False)
        self.bottom = blocks(eighth, 2 * count, at_eighth)
        self.from_eighth = nn.ConvTranspose2d(eighth, quarter, 2, 2, bias=False)
        self.decode_quarter = blocks(quarter, count, at_quarter)
        self.from_quarter = nn.ConvTranspose2d(quarter, half, 2, 2, bias=False)
        self.decode_half = blocks(half, count, at_half)
        self.leave = nn.Conv2d(half, 12, 3, padding=1, bias=False)
        nn.init.zeros_(self.leave.weight)

    def forward(self, image: Tensor, *sigma: Tensor) -> Tensor:
        half = self.encode_half(self.enter(F.pixel_unshuffle(torch.cat([image, *sigma], 1), 2)))
        quarter = self.encode_quarter(self.to_quarter(half))
        bottom = self.bottom(self.to_eighth(quarter))
        quarter = self.decode_quarter(quarter + self.from_eighth(bottom))
        half = self.decode_half(half + self.from_quarter(quarter))
        return image - F.pixel_shuffle(self.leave(half), 2)


def denoiser() -> Restorer:
    """The network of `denoise`, with twice the hidden channels at a quarter of the resolution."""
    return Restorer(sigma=True, expansions=(2, 2, 1))


def enhancer() -> Restorer:
    """The network of `enhance`."""
    return Restorer(sigma=False)


class SRCNN(nn.Module):
    """Luma (B, 1, H, W), enlarged by bicubic interpolation -> the same, sharper: 9-5-5.

    It starts near the identity.

    Source: Dong et al. 2016 (arXiv 1501.00092).
    """

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 64, 9)
        self.mapping = nn.Conv2d(64, 32, 5)
        self.reconstruction = nn.Conv2d(32, 1, 5)
        with torch.no_grad():
            for layer in (self.patches, self.mapping, self.reconstruction):
                layer.weight *= 0.5
                layer.weight[0] = 0
                layer.weight[0, 0, layer.kernel_size[0] // 2, layer.kernel_size[1] // 2] = 1
                layer.bias.zero_()
            self.reconstruction.weight[0, 1:] *= 0.1

    def forward(self, luma: Tensor) -> Tensor:
        x = F.pad(luma, (8, 8, 8, 8), mode="replicate")
        return self.reconstruction(F.relu(self.mapping(F.relu(self.patches(x)))))


class SubPixel(nn.Module):
    """Luma (B, 1, h, w) and its bicubic enlargement (B, 1, s h, s w) -> the latter, sharper, s = 2, 3 or 4.

    All convolutions run on the small picture, the last of them giving s x s pixels a position; the scales
    share all but that one. It starts as bicubic interpolation.

    Source: sub-pixel convolution by Shi et al. 2016 (ESPCN), blocks by Lim et al. 2017 (EDSR, MDSR).
    """

    def __init__(self, width: int = 48, count: int = 6) -> None:
        super().__init__()
        self.enter = nn.Conv2d(1, width, 3, padding=1)
        self.body = blocks(width, count)
        self.leave = nn.ModuleDict({str(s): nn.Conv2d(width, s * s, 3, padding=1) for s in SCALES})
        for layer in self.leave.values():
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, luma: Tensor, enlarged: Tensor, scale: int) -> Tensor:
        features = self.enter(luma)
        features = features + self.body(features)
        return enlarged + F.pixel_shuffle(self.leave[str(scale)](features), scale)
