"""What a codec may be tuned for: measures of error, and their gradients as graphs can hold them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import torch
from pytorch_msssim import ms_ssim
from torch import Tensor
from torch.nn import functional as F

# Squared error, of samples up to 1, that 1 - MS-SSIM is worth: about what compressai's pairs of lambdas say,
# and what files of `base` exchange, 1000 to 1800 / 255**2 up to quality 65 and 800 above.
DISSIMILARITY_WORTH = 1250 / 255**2
SQUARED_SHARE = 0.1  # of squared error beside that, as MS-SSIM is blind to a change of colour

SCALE_POWERS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of MS-SSIM, the finest scale first
LUMINANCE, CONTRAST = 0.01**2, 0.03**2  # constants of SSIM, of samples up to 1
TAPS, DEVIATION = 11, 1.5  # of SSIM's window, a Gaussian
LEAST_SIMILARITY = 0.05  # of a scale, as powers have no slope at 0


def squared_error(decoded: Tensor, images: Tensor) -> Tensor:
    """Mean squared error (B,) of images (B, 3, H, W) in [0, 1]."""
    return (decoded - images).square().mean((1, 2, 3))


def structural_error(decoded: Tensor, images: Tensor) -> Tensor:
    """What MS-SSIM sees of the error, and a little of the rest: (B,), about as large as the squared error.

    Images are (B, 3, H, W) in [0, 1], sides above 160. Source: Wang et al. 2003.
    """
    similarity = ms_ssim(decoded, images, data_range=1.0, size_average=False)
    dissimilarity = DISSIMILARITY_WORTH * (1 - similarity)
    return (1 - SQUARED_SHARE) * dissimilarity + SQUARED_SHARE * squared_error(decoded, images)


def squared_slope(decoded: Tensor, image: Tensor) -> Tensor:
    """The gradient (1, 3, H, W) of the squared error of an image, times its pixels."""
    return (decoded - image) * (2 / 3)


def structural_slope(decoded: Tensor, image: Tensor) -> Tensor:
    """The gradient (1, 3, H, W) of nearly the structural error of an image, times its pixels.

    Nearly, as there are windows at the borders too, cut off there: sides need only be multiples of 16. And a
    scale on which nothing is alike has a slope too.
    """
    dissimilarity = -DISSIMILARITY_WORTH * similarity_and_slope(decoded, image)[1]
    return (1 - SQUARED_SHARE) * dissimilarity + SQUARED_SHARE * squared_slope(decoded, image)


def similarity_and_slope(decoded: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """MS-SSIM of an image (1, 3, H, W), by channel (3,), and the gradient of their mean times its pixels."""
    decoded, image = decoded.transpose(0, 1), image.transpose(0, 1)  # channels alike, so as a batch
    means, slopes = [], []
    for scale, power in enumerate(SCALE_POWERS):
        if scale:
            decoded, image = F.avg_pool2d(decoded, 2), F.avg_pool2d(image, 2)
        last = scale == len(SCALE_POWERS) - 1
        similarity, slope = windows_and_slope(decoded, image, luminance=last)
        mean = similarity.mean((1, 2, 3), keepdim=True).clamp(min=LEAST_SIMILARITY)
        means.append(mean**power)
        slopes.append(slope * power / mean)
    whole = reduce(torch.mul, means)
    # a sample of one scale is the mean of four of the scale before, of which there are four times as many
    slope = reduce(lambda coarse, fine: fine + F.interpolate(coarse, scale_factor=2.0), reversed(slopes))
    return whole.flatten(), (slope * whole / 3).transpose(0, 1)


def windows_and_slope(decoded: Tensor, image: Tensor, luminance: bool) -> tuple[Tensor, Tensor]:
    """SSIM around each sample of planes (C, 1, H, W), with its factor of luminance or without.

    And the gradient of its sum with respect to the decoded planes.
    """
    within = windowed(torch.ones_like(image[:1]))  # share of each window that is not cut off

    def local(planes: Tensor) -> Tensor:
        return windowed(planes) / within

    def pulled_back(slope: Tensor) -> Tensor:
        return windowed(slope / within)

    mean, other_mean = local(decoded), local(image)
    covariance = local(decoded * image) - mean * other_mean
    energy = local(decoded.square() + image.square()) - mean.square() - other_mean.square() + CONTRAST
    structure = (2 * covariance + CONTRAST) / energy
    light, of_light = torch.ones_like(mean), torch.zeros_like(mean)
    if luminance:
        both = mean.square() + other_mean.square() + LUMINANCE
        light = (2 * mean * other_mean + LUMINANCE) / both
        of_light = 2 * (other_mean - light * mean) / both
    of_covariance, of_energy = 2 * light / energy, -light * structure / energy
    of_mean = of_light * structure - of_covariance * other_mean - 2 * of_energy * mean
    slope = pulled_back(of_mean) + image * pulled_back(of_covariance)
    return light * structure, slope + 2 * decoded * pulled_back(of_energy)


def windowed(planes: Tensor) -> Tensor:
    """Sums of planes (C, 1, H, W), zero beyond their borders, in SSIM's window around each sample."""
    distance = torch.arange(TAPS, dtype=planes.dtype, device=planes.device) - TAPS // 2
    weights = torch.exp(-distance.square() / (2 * DEVIATION**2))
    weights = weights / weights.sum()
    across = F.conv2d(planes, weights[None, None, None], padding=(0, TAPS // 2))
    return F.conv2d(across, weights[None, None, :, None], padding=(TAPS // 2, 0))


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a codec is tuned for: the error (B,) of decoded images, its slope, and sides of crops to train on.

    The slope is the gradient (1, 3, H, W), with respect to the decoded image, of its error times its pixels.
    Crops have the first side, and later the second.
    """

    error: Callable[[Tensor, Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]
    sides: tuple[int, int]


TUNINGS = {
    "psnr": Tuning(squared_error, squared_slope, (128, 256)),
    "ssim": Tuning(structural_error, structural_slope, (192, 256)),
}
