"""A U-Net (Ronneberger et al. 2015) that cleans pages of printed words of any size.

    page -> 2x2 pixels as channels -> 24 ---------------------------+-> 24 -> 2x2 pixels -> clean page
                                       \\ -> 48 ---------+-> 48 ->  /
                                              \\ -> 64 -/

Its skip connections carry as many values as the page has, so it is no codec and writes no latents.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aecodec.lab.autoencoder import initialised
from aecodec.lab.documents import HELD_OUT, NOISE, TRAINED, Page, Spoiled, add_noise, make_page
from aecodec.lab.stopping import check_stop
from aecodec.training.loop import Schedule, load_weights, save_weights, train

NAME = "unet"
WIDTHS = (24, 48, 64)
STEPS = 8000  # 12 minutes of one thread; the other networks take another core as long (docs/lab.md)
RATE = 5e-3  # 1800 steps have 0.35 dB more than with 3e-3; 8e-3 has less (docs/lab.md)
BETAS = (0.95, 0.99)  # of the optimiser, as the codec's, whose batches are small too
BASES_EVERY = 20  # steps: its matrices are small, so their bases cost little
PAGES, PAGE = (
    800,
    256,
)  # pages to learn from, made in half a minute, and their sides in pixels: 200 have 0.28 dB less
BATCH, CROP = 8, 64  # crops a step, and their sides
UNIT = 8  # sides of pages are padded to whole multiples of it
BAND, HALO = (
    512,
    48,
)  # rows cleaned at a time, and rows beside them that are seen: more than 40, the receptive field
TEST_PAGE = (1000, 700)  # of the page that figures are measured on
TEST_NOISE = 0.1


def block(before: int, after: int) -> nn.Sequential:
    """Two convolutions."""
    first, second = nn.Conv2d(before, after, 3, 1, 1), nn.Conv2d(after, after, 3, 1, 1)
    return initialised(nn.Sequential(first, nn.GELU(), second, nn.GELU()))


class UNet(nn.Module):
    """Spoiled pages (B, 1, H, W) -> clean ones; H and W are multiples of 8."""

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = WIDTHS
        self.fold, self.unfold = nn.PixelUnshuffle(2), nn.PixelShuffle(2)
        self.down1, self.down2, self.bottom = block(4, fine), block(fine, middle), block(middle, coarse)
        self.pool = nn.AvgPool2d(2)
        self.rise2, self.rise1 = (
            nn.ConvTranspose2d(coarse, middle, 2, 2),
            nn.ConvTranspose2d(middle, fine, 2, 2),
        )
        self.up2, self.up1 = block(2 * middle, middle), block(2 * fine, fine)
        self.output = nn.Conv2d(fine, 4, 1)
        nn.init.constant_(self.output.bias, 1)  # the first step gives white paper

    def forward(self, page: Tensor) -> Tensor:
        fine = self.down1(self.fold(page))
        middle = self.down2(self.pool(fine))
        coarse = self.bottom(self.pool(middle))
        middle = self.up2(torch.cat([middle, self.rise2(coarse)], 1))
        fine = self.up1(torch.cat([fine, self.rise1(middle)], 1))
        return self.unfold(self.output(fine))


class Cleaning:
    """The task of the loop: crops of pages, with fresh noise at every step."""

    def __init__(self, seed: int) -> None:
        self.network: nn.Module = UNet()
        random = np.random.default_rng(seed)
        self.pages: list[Spoiled] = []
        while len(self.pages) < PAGES:
            check_stop()
            self.pages.append(make_page(random, PAGE, PAGE, TRAINED))
        self.random = random

    def configuration(self) -> dict[str, object]:
        """See `aecodec.training.loop.Task`."""
        return {"network": "UNet", "pages": len(self.pages), "noise": NOISE}

    def optimiser(self, rate: float) -> torch.optim.Optimizer:
        """SOAP (Vyas et al. 2024): 600 steps have 1 to 2 dB more than Adam's, for 1.3 times the time."""
        from pytorch_optimizer import SOAP  # which `lab clean` does without

        return SOAP(
            self.network.parameters(),
            lr=rate,
            betas=BETAS,
            weight_decay=0,
            precondition_frequency=BASES_EVERY,
        )

    def seed(self, number: int) -> None:
        self.random = np.random.default_rng(number)

    def loss(self, progress: float) -> Tensor:
        del progress
        check_stop()
        crops = [self.crop() for _ in range(BATCH)]
        spoiled, clean = (torch.from_numpy(np.stack(parts))[:, None] for parts in zip(*crops, strict=True))
        return ((self.network(spoiled) - clean) ** 2).sum() / BATCH

    def crop(self) -> tuple[Page, Page]:
        """A spoiled crop with noise, and the clean one."""
        page = self.pages[self.random.integers(PAGES)]
        top, left = self.random.integers(PAGE - CROP, size=2)
        window = slice(top, top + CROP), slice(left, left + CROP)
        return add_noise(self.random, page.spoiled[window], self.random.uniform(*NOISE)), page.clean[window]

    def validate(self, network: nn.Module) -> list[dict[str, float]]:
        del network
        return []


def learn_cleaning(out: Path, share: float = 1.0, seed: int = 0) -> nn.Module:
    """Train the U-Net in the folder `out` / unet and write `out` / unet.safetensors."""
    torch.manual_seed(seed)
    steps = max(1, round(share * STEPS))
    schedule = Schedule(steps=steps, rate=RATE, warm_up=min(100, steps // 10 + 1), seed=seed)
    task = Cleaning(seed)
    network = load_weights(task.network, train(schedule, task, out / NAME)).eval()
    save_weights(network, out / f"{NAME}.safetensors")
    return network


def read_cleaning(path: Path) -> nn.Module:
    """The U-Net in a file; raises ModelError."""
    return load_weights(UNet(), path).eval()


@torch.no_grad()
def clean(network: nn.Module, page: NDArray[np.float32]) -> Page:
    """A page (H, W) in [0, 1], cleaned, band by band; bands see what is beside them: there are no seams."""
    height, width = page.shape
    below, right = -height % UNIT, -width % UNIT
    padded = np.pad(page, ((0, below), (0, right)), mode="edge")
    bands = []
    for top in range(0, len(padded), BAND):
        first, last = max(0, top - HALO), min(len(padded), top + BAND + HALO)
        band = network(torch.from_numpy(padded[None, None, first:last]))[0, 0].numpy()
        bands.append(band[top - first : top - first + BAND])
    cleaned: Page = np.concatenate(bands)[:height, :width].clip(0, 1)
    return cleaned


def unseen_page(seed: int = 1) -> tuple[Spoiled, Page]:
    """A whole page in fonts that no network learned from, and what is seen of it."""
    random = np.random.default_rng(seed)
    page = make_page(random, *TEST_PAGE, HELD_OUT)
    return page, add_noise(random, page.spoiled, TEST_NOISE)
