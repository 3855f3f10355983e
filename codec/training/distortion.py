"""Measures of error that a codec can be tuned for, and their gradients in operations of an ONNX graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional as F

from aecodec.training.ssimulacra2 import ssimulacra2_distance, ssimulacra2_gradient
from aecodec.training.windows import blur, blur_in_graph, gaussian

# Squared error, of samples up to 1, that equals a unit of 1 - MS-SSIM. The ratio of CompressAI's lambdas for
# the two measures is about that, and so is the exchange in files of `base`: 1000 to 1800 / 255**2 up to
# quality 65, 800 above.
DISSIMILARITY_WEIGHT = 1250 / 255**2
# Squared error that equals a unit of SSIMULACRA 2's distance: files of `base` exchange 4.1 (quality 0) to 6.5
# / 255**2 (quality 100).
SSIMULACRA2_WEIGHT = 5.5 / 255**2
# Shares of SSIMULACRA 2 and of MS-SSIM in the error that `visual` is trained for; the rest is squared error.
# With 0.7 and 0.15, MS-SSIM was level with AVIF's while SSIMULACRA 2 was 6 % ahead. See docs/experiments.md,
# training for the eye. The last run of `visual` had 0.56 and 0.28; efforts were measured with these.
VISUAL_SHARES = (0.55, 0.35)
# Share of an overshoot beyond black or white that counts as error. Without any, overshoot grows without
# bound; a larger share makes the network spend on values that no picture shows.
LEAK = 0.02

SCALE_POWERS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of MS-SSIM, the finest scale first
LUMINANCE, CONTRAST = 0.01**2, 0.03**2  # constants of SSIM, of samples up to 1
WINDOW = gaussian()  # of SSIM
LEAST_SIMILARITY = 0.05  # of a scale; below it the gradient is 0, since a power has none that is finite at 0


def clipped(decoded: Tensor) -> Tensor:
    """Decoded images clipped to 0 to 1 as they are displayed, plus a share LEAK of the overshoot.

    So white may overshoot and stay white, and the leak keeps the overshoot from growing.
    """
    displayed = decoded.clamp(0, 1)
    return displayed + LEAK * (decoded - displayed)


def squared_error(decoded: Tensor, images: Tensor) -> Tensor:
    """Mean squared error (B,) of images (B, 3, H, W) in [0, 1]."""
    return (decoded - images).square().mean((1, 2, 3))


def ms_ssim(decoded: Tensor, images: Tensor) -> Tensor:
    """MS-SSIM (B,) of images (B, 3, H, W) in [0, 1], sides above 160, mean over channels.

    Source: Wang et al. 2003; windows lie within the images, as in pytorch-msssim.
    """
    product = torch.ones_like(images[:, :, 0, 0])
    for scale, power in enumerate(SCALE_POWERS):
        if scale:
            decoded, images = (
                F.avg_pool2d(x, 2, padding=[s % 2 for s in x.shape[2:]]) for x in (decoded, images)
            )
        mean, other = blur(decoded, WINDOW, valid=True), blur(images, WINDOW, valid=True)
        energy = blur(decoded.square() + images.square(), WINDOW, valid=True) - mean.square() - other.square()
        covariance = blur(decoded * images, WINDOW, valid=True) - mean * other
        similarity = (2 * covariance + CONTRAST) / (energy + CONTRAST)
        if scale == len(SCALE_POWERS) - 1:
            similarity = (
                similarity * (2 * mean * other + LUMINANCE) / (mean.square() + other.square() + LUMINANCE)
            )
        product = product * similarity.mean((2, 3)).clamp(min=LEAST_SIMILARITY) ** power
    return product.mean(1)


def visual_error(decoded: Tensor, images: Tensor) -> Tensor:
    """A weighted sum (B,) of SSIMULACRA 2, MS-SSIM and squared error, in units of squared error.

    Images are (B, 3, H, W); decoded ones are not clipped. A network would exploit the blind spots of one
    measure alone. SSIMULACRA 2 weighs the worst positions and knows colour. MS-SSIM covers scales and
    contrast. Squared error penalises slow drifts of colour, which the other two hardly see.
    """
    displayed = clipped(decoded)
    distances = (
        SSIMULACRA2_WEIGHT * ssimulacra2_distance(displayed, images),
        DISSIMILARITY_WEIGHT * (1 - ms_ssim(displayed, images)),
    )
    ssimulacra2_share, ms_ssim_share = VISUAL_SHARES
    return (
        ssimulacra2_share * distances[0]
        + ms_ssim_share * distances[1]
        + (1 - ssimulacra2_share - ms_ssim_share) * squared_error(displayed, images)
    )


def squared_error_gradient(decoded: Tensor, image: Tensor) -> Tensor:
    """The gradient (1, 3, H, W) of the squared error of an image, times its pixels."""
    return (decoded - image) * (2 / 3)


def visual_error_gradient(decoded: Tensor, image: Tensor) -> Tensor:
    """The gradient (1, 3, H, W), times the number of pixels, of the error that efforts reduce.

    It has the parts of `visual_error` in VISUAL_SHARES, with three differences. Windows of MS-SSIM are cut
    off at the borders, so sides need only be multiples of 16. A scale without similarity has a gradient too.
    The worst positions have less weight, see LARGEST_WEIGHT. The graph around this clips decoded images
    before.
    """
    ssimulacra2_share, ms_ssim_share = VISUAL_SHARES
    gradients = (
        SSIMULACRA2_WEIGHT * ssimulacra2_gradient(decoded, image),
        dissimilarity_gradient(decoded, image),
    )
    squared = (1 - ssimulacra2_share - ms_ssim_share) * squared_error_gradient(decoded, image)
    return ssimulacra2_share * gradients[0] + ms_ssim_share * gradients[1] + squared


def dissimilarity_gradient(decoded: Tensor, image: Tensor) -> Tensor:
    """The gradient (1, 3, H, W) of an image's weighted 1 - MS-SSIM, times the number of pixels."""
    return -DISSIMILARITY_WEIGHT * ms_ssim_and_gradient(decoded, image)[1]


def ms_ssim_and_gradient(decoded: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """MS-SSIM (3,) by channel of an image (1, 3, H, W), and the gradient of its mean times the pixels."""
    decoded, image = decoded.transpose(0, 1), image.transpose(0, 1)  # channels alike, so as a batch
    means, gradients = [], []
    for scale, power in enumerate(SCALE_POWERS):
        if scale:
            decoded, image = F.avg_pool2d(decoded, 2), F.avg_pool2d(image, 2)
        last = scale == len(SCALE_POWERS) - 1
        similarity, gradient = ssim_and_gradient(decoded, image, luminance=last)
        mean = similarity.mean((1, 2, 3), keepdim=True).clamp(min=LEAST_SIMILARITY)
        means.append(mean**power)
        gradients.append(gradient * power / mean)
    product = reduce(torch.mul, means)
    # a sample of one scale is the mean of four of the scale before, of which there are four times as many
    gradient = reduce(
        lambda coarse, fine: fine + F.interpolate(coarse, scale_factor=2.0), reversed(gradients)
    )
    return product.flatten(), (gradient * product / 3).transpose(0, 1)


def ssim_and_gradient(decoded: Tensor, image: Tensor, luminance: bool) -> tuple[Tensor, Tensor]:
    """SSIM around each sample of planes (C, 1, H, W), with or without luminance, and the gradient of its sum.

    The gradient is that with respect to the decoded planes.
    """
    window_share = blur_in_graph(
        torch.ones_like(image[:1]), WINDOW
    )  # share of each window that is not cut off

    def window_mean(planes: Tensor) -> Tensor:
        return blur_in_graph(planes, WINDOW) / window_share

    def blur_vjp(gradient: Tensor) -> Tensor:
        return blur_in_graph(gradient / window_share, WINDOW)

    mean, other_mean = window_mean(decoded), window_mean(image)
    covariance = window_mean(decoded * image) - mean * other_mean
    energy = window_mean(decoded.square() + image.square()) - mean.square() - other_mean.square() + CONTRAST
    structure = (2 * covariance + CONTRAST) / energy
    luminance_term, luminance_derivative = torch.ones_like(mean), torch.zeros_like(mean)
    if luminance:
        both = mean.square() + other_mean.square() + LUMINANCE
        luminance_term = (2 * mean * other_mean + LUMINANCE) / both
        luminance_derivative = 2 * (other_mean - luminance_term * mean) / both
    of_covariance, of_energy = 2 * luminance_term / energy, -luminance_term * structure / energy
    of_mean = luminance_derivative * structure - of_covariance * other_mean - 2 * of_energy * mean
    gradient = blur_vjp(of_mean) + image * blur_vjp(of_covariance)
    return luminance_term * structure, gradient + 2 * decoded * blur_vjp(of_energy)


@dataclass(frozen=True, slots=True)
class Tuning:
    """An error (B,) of decoded images that a codec is tuned for, its gradient, and the sides of crops.

    The gradient (1, 3, H, W) is that of the error times the number of pixels with respect to the decoded
    image. Crops of training have the first side in pixels, and later the second.
    """

    error: Callable[[Tensor, Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor], Tensor]
    sides: tuple[int, int]


TUNINGS = {
    "psnr": Tuning(squared_error, squared_error_gradient, (128, 256)),
    "visual": Tuning(visual_error, visual_error_gradient, (256, 256)),
}
