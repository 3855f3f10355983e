"""What the networks are made of: tables of gains by quality, matrices at every position, residual blocks."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Pullback = Callable[[Tensor], Tensor]  # gradient with respect to an output -> that with respect to the input

ANCHORS = 9  # qualities at which the tables of gains are learned; linear in between
LAMBDA_RANGE = (0.0007, 0.5)  # of loss = bpp + lambda * 255**2 * MSE, at quality 0 and 100


def anchor_weights(quality: Tensor) -> Tensor:
    """Weights (B, ANCHORS) that interpolate the tables linearly at `quality` (B,), 0 to 100."""
    position = quality[:, None] * ((ANCHORS - 1) / 100)
    anchors = torch.arange(ANCHORS, dtype=quality.dtype, device=quality.device)
    return (1 - (position - anchors).abs()).clamp(min=0)


def lagrangian(quality: Tensor) -> Tensor:
    """The lambda of each quality (B,), spaced geometrically over LAMBDA_RANGE."""
    low, high = LAMBDA_RANGE
    return low * (high / low) ** (quality / 100)


class Table(nn.Module):
    """A vector per anchor quality, interpolated for each image: (B, ANCHORS) -> (B, C, 1, 1).

    In full precision: gains and their inverses must match to far less than a quantisation step.
    """

    def __init__(self, initial: Tensor) -> None:
        super().__init__()
        self.rows = nn.Parameter(initial.clone())  # (ANCHORS, C)

    def forward(self, weights: Tensor) -> Tensor:
        with torch.autocast(weights.device.type, enabled=False):
            return (weights @ self.rows)[:, :, None, None]


def scaled(x: Tensor, gain: Tensor | None = None) -> Tensor:
    """x (B, C, H, W) times gains (B, C, 1, 1), if there are any, as what residual blocks begin with.

    In an exported graph, of one picture, that is a depthwise convolution in any case. Engines keep channels
    in blocks from one convolution to the next, and only there they add a residual to it as they compute it.
    """
    if torch.onnx.is_in_onnx_export():
        kernel = torch.ones(len(x[0]), 1, 1, 1) if gain is None else gain.transpose(0, 1)
        return F.conv2d(x, kernel, groups=len(kernel))
    return x if gain is None else x * gain


class Pointwise(nn.Module):
    """A matrix applied at every position: a 1x1 convolution whose weight is two-dimensional.

    `linear` marks the linear path from pixels to latents and back, which needs full precision.
    """

    def __init__(self, inputs: int, outputs: int, zero: bool = False, linear: bool = False) -> None:
        super().__init__()
        self.linear = linear
        self.weight = nn.Parameter(torch.zeros(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        if not zero:
            nn.init.normal_(self.weight, std=inputs**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        if not self.linear and torch.is_autocast_enabled(x.device.type):
            # on a CPU in bfloat16 a matrix product is 1.5 to 2.5 times faster than the convolution
            rows = x.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
            return F.linear(rows, self.weight, self.bias).permute(0, 3, 1, 2)
        with torch.autocast(x.device.type, enabled=False):
            return F.conv2d(x.float(), self.weight[:, :, None, None], self.bias)

    def of_scaled(self, x: Tensor, gain: Tensor, beside: Tensor | None = None) -> Tensor:
        """What the matrix makes of x (B, C, H, W) times gains (B, C, 1, 1), and of what is beside it.

        In an exported graph, of one picture, the gains are in the matrix.
        """
        if torch.onnx.is_in_onnx_export():
            if beside is not None:
                ones = torch.ones(1, len(beside[0]), 1, 1)
                x, gain = torch.cat([x, beside], 1), torch.cat([gain, ones], 1)
            return F.conv2d(x, self.weight[:, :, None, None] * gain, self.bias)
        return self(x * gain if beside is None else torch.cat([x * gain, beside], 1))

    def pullback(self, gradient: Tensor) -> Tensor:
        """The transposed matrix at every position."""
        return F.conv2d(gradient, self.weight.T[:, :, None, None])


def hardswish_slope(x: Tensor) -> Tensor:
    """The derivative of hardswish, but within 0 and 1: two operations of a graph, not six."""
    return F.hardsigmoid(2 * x)


class Block(nn.Module):
    """Residual block (B, C, H, W) -> same: depthwise 3x3, gain and shift per quality, two 1x1, gain.

    `spread` and `reach` (ANCHORS, C) are what the gains start from: the spread of each channel, and
    how far the branch may be expected to correct it. Without them the loud channels drown the quiet.
    Between the matrices there are `hidden` channels, twice as many as outside if it is not told.
    """

    def __init__(self, spread: Tensor, reach: Tensor, hidden: int | None = None) -> None:
        super().__init__()
        channels = spread.shape[1]
        hidden = hidden or 2 * channels
        self.spatial = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        nn.init.normal_(self.spatial.weight, std=0.05)
        with torch.no_grad():
            self.spatial.weight[:, 0, 1, 1] += 1
        self.log_gain_in = Table(-spread.log())
        self.shift = Table(torch.zeros_like(spread))
        self.expand = Pointwise(channels, hidden)
        self.project = Pointwise(hidden, channels, zero=True)
        self.log_gain_out = Table(reach.log())

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        return self.with_pullback(x, weights)[0]

    def with_pullback(self, x: Tensor, weights: Tensor) -> tuple[Tensor, Pullback]:
        """The output, and nearly its pullback, in operations that an exported graph can hold."""
        gain_in, gain_out = self.log_gain_in(weights).exp(), self.log_gain_out(weights).exp()
        hidden = self.expand(self.spatial(x) * gain_in + self.shift(weights))

        def pullback(gradient: Tensor) -> Tensor:
            inner = self.project.pullback(gradient * gain_out) * hardswish_slope(hidden)
            inner = self.expand.pullback(inner) * gain_in
            kernel = self.spatial.weight.flip(2, 3)
            return gradient + F.conv2d(inner, kernel, padding=1, groups=len(kernel))

        return x + self.project(F.hardswish(hidden)) * gain_out, pullback


class Blocks(nn.ModuleList):
    """Blocks in a row."""

    def __init__(self, count: int, spread: Tensor, reach: Tensor, hidden: int | None = None) -> None:
        super().__init__(Block(spread, reach, hidden) for _ in range(count))

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        return self.with_pullback(x, weights)[0]

    def with_pullback(self, x: Tensor, weights: Tensor) -> tuple[Tensor, Pullback]:
        """As for a block."""
        pullbacks = []
        for block in self:
            x, pullback = block.with_pullback(x, weights)
            pullbacks.append(pullback)
        return x, lambda gradient: reduce(lambda g, pullback: pullback(g), reversed(pullbacks), gradient)
