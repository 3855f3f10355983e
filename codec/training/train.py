"""The training loop of the codec: one run, resumable, scheduled over a budget of hours or of steps.

    aecodec train codec --data PHOTOS --out RUN --hours 8

RUN receives `checkpoint.pt` (everything needed to go on), `weights.safetensors` (the averaged
weights, which export reads and `--start` accepts) and `log.jsonl` (rate and PSNR on validation).
"""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from codec.errors import AecodecError
from codec.training.data import Crops, Pixels, read_images, to_tensor
from codec.training.layers import Pointwise, lagrangian
from codec.training.networks import Codec, Coded, load_weights
from codec.training.transforms import PrincipalComponents, Widths, to_patches

VALIDATION_QUALITIES = (0.0, 25.0, 50.0, 75.0, 100.0)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train; a run ends after `hours` of training or `steps`, whichever is given."""

    hours: float | None = None
    steps: int | None = None
    batch: int = 16  # crops of the first size a step; half as many of the second
    crops: tuple[int, int] = (128, 256)  # sides in pixels
    larger_from: float = 0.6  # share of the budget after which crops have the second size
    rate: float = 2e-3  # learning rate of everything but the linear path
    linear_rate: float = 1e-4
    warm_up: int = 300  # steps
    clip: float = 5.0  # largest norm of the gradient
    weighting: float = 0.4  # each image's loss is divided by lambda to this power
    average: float = 0.9995  # decay of the weights' moving average
    minutes_between_checkpoints: float = 5.0
    seed: int = 0
    widths: Widths = field(default_factory=Widths)


def principal_components(images: list[Pixels], seed: int) -> PrincipalComponents:
    """The Karhunen-Loeve transform of some 65 000 patches of the training images."""
    crops = Crops(images, 128, seed)
    patches = [to_patches(crops.batch(64, 128) - 0.5).permute(0, 2, 3, 1).reshape(-1, 768) for _ in range(16)]
    x = torch.cat(patches).double()
    energy, vectors = torch.linalg.eigh(torch.cov(x.T))
    spread = energy.flip(0).clamp(min=1e-9).sqrt()
    return PrincipalComponents(x.mean(0).float(), vectors.flip(1).T.float(), spread.float())


def rate_distortion_loss(coded: Coded, images: Tensor, quality: Tensor, weighting: float) -> Tensor:
    """Mean over the batch of (bpp + lambda * 255**2 * MSE) / lambda**weighting."""
    bpp = (coded.y_bits + coded.z_bits) / (images.shape[2] * images.shape[3])
    error = (coded.images.float() - images).square().mean((1, 2, 3))
    weight = lagrangian(quality)
    return ((bpp + weight * 255**2 * error) / weight**weighting).mean()


def stratified_qualities(count: int) -> Tensor:
    """One quality (count,) out of each of `count` equal parts of 0 to 100."""
    return (torch.arange(count) + torch.rand(count)) * (100 / count)


class Average:
    """A copy of a network whose weights follow it as an exponential moving average."""

    def __init__(self, network: Codec, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    def update(self, network: Codec, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        mine = list(self.network.parameters())
        theirs = [p.detach() for p in network.parameters()]
        torch._foreach_lerp_(mine, theirs, 1 - decay)


def adam(network: Codec, recipe: Recipe) -> torch.optim.Adam:
    """Adam, slower for the linear path and the scale map, whose errors the gains multiply."""
    linear = [network.scale_map.weight]
    linear += [m.weight for m in network.modules() if isinstance(m, Pointwise) and m.linear]
    chosen = {id(p) for p in linear}
    rest = [p for p in network.parameters() if id(p) not in chosen]
    groups = [{"params": rest}, {"params": linear, "lr": recipe.linear_rate}]
    return torch.optim.Adam(groups, lr=recipe.rate, betas=(0.9, 0.99), fused=True)


def learning_rate(progress: float, step: int, warm_up: int) -> float:
    """Share of the full learning rate: a linear warm-up, then a cosine to almost nothing."""
    return min(1.0, (step + 1) / warm_up) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


class Run:
    """The state of one training run: network, average, optimiser, step and seconds so far."""

    def __init__(self, recipe: Recipe, network: Codec) -> None:
        self.recipe = recipe
        self.network = network.to(memory_format=torch.channels_last)
        self.average = Average(network, recipe.average)
        self.optimiser = adam(network, recipe)
        self.rates = [group["lr"] for group in self.optimiser.param_groups]
        self.step = 0
        self.seconds = 0.0

    def progress(self) -> float:
        """Share of the budget that is spent."""
        if self.recipe.steps is not None:
            return self.step / self.recipe.steps
        return self.seconds / (3600 * (self.recipe.hours or 1.0))

    def next_batch(self, crops: Crops) -> Tensor:
        """The images (B, 3, H, W) of the next step, larger crops late in the run."""
        late = self.progress() >= self.recipe.larger_from
        return crops.batch(self.recipe.batch // (2 if late else 1), self.recipe.crops[late])

    def state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        groups = self.optimiser.state_dict()["param_groups"]  # this recipe's, not the checkpoint's
        self.optimiser.load_state_dict({**state["optimiser"], "param_groups": groups})
        self.step, self.seconds = state["step"], state["seconds"]

    def train_step(self, images: Tensor) -> float:
        """One step on images (B, 3, H, W); returns the loss."""
        began = time.perf_counter()
        share = learning_rate(self.progress(), self.step, self.recipe.warm_up)
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * share
        quality = stratified_qualities(len(images)).to(images.device)
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, torch.bfloat16):
            coded = self.network(images, quality)
        loss = rate_distortion_loss(coded, images, quality, self.recipe.weighting)
        self.network.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        if torch.isfinite(norm):
            self.optimiser.step()
            self.average.update(self.network, self.step)
        self.step += 1
        self.seconds += time.perf_counter() - began
        return float(loss.detach())


@torch.no_grad()
def validate(network: Codec, images: list[Pixels]) -> list[dict[str, float]]:
    """Mean estimated bpp and mean PSNR of whole images at each of VALIDATION_QUALITIES."""
    device = next(network.parameters()).device
    points = []
    for quality in VALIDATION_QUALITIES:
        bpps, psnrs = [], []
        for image in images:
            height, width = (side // 32 * 32 for side in image.shape[:2])
            x = to_tensor(image[None, :height, :width]).to(device)
            coded = network(x, torch.tensor([quality], device=device))
            error = (coded.images.clamp(0, 1) - x).square().mean()
            bpps.append(float((coded.y_bits + coded.z_bits).sum()) / (height * width))
            psnrs.append(float(-10 * error.log10()))
        count = len(images)
        points.append({"quality": quality, "bpp": sum(bpps) / count, "psnr": sum(psnrs) / count})
    return points


def train(
    recipe: Recipe, data: list[Path], out: Path, validation: list[Path], start: Path | None = None
) -> Path:
    """Train the codec; resumes from `out` if it holds a checkpoint. Returns the averaged weights' path.

    `start` names weights (safetensors) to begin with in place of the principal-component start.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    out.mkdir(parents=True, exist_ok=True)
    checkpoint, weights = out / "checkpoint.pt", out / "weights.safetensors"
    images = read_images(data)
    held_out = read_images(validation)[:8] if validation else []
    network = Codec(recipe.widths, None if start else principal_components(images, recipe.seed))
    if start:
        load_weights(network, start)
    run = Run(recipe, network.to(device))
    if checkpoint.exists():
        if start:
            raise AecodecError(f"{out} holds a checkpoint already: resume it without --start, or empty it")
        run.load(torch.load(checkpoint, map_location=device, weights_only=True))
    torch.manual_seed(recipe.seed + run.step)
    crops = Crops(images, max(recipe.crops), recipe.seed + run.step)

    def save() -> None:
        partial = out / "partial"
        torch.save(run.state(), partial)
        partial.replace(checkpoint)
        averaged = run.average.network.state_dict()
        save_file({name: tensor.contiguous() for name, tensor in averaged.items()}, partial)
        partial.replace(weights)
        points = validate(run.average.network, held_out) if held_out else []
        with (out / "log.jsonl").open("a") as log:
            record = {"step": run.step, "hours": run.seconds / 3600, "loss": loss, "points": points}
            log.write(json.dumps(record) + "\n")

    loss = math.nan
    saved = time.monotonic()
    with tqdm(
        total=100,
        initial=100 * run.progress(),
        unit="%",
        bar_format="{l_bar}{bar}| {elapsed}<{remaining} {postfix}",
    ) as bar:
        try:
            while run.progress() < 1:
                now = run.train_step(run.next_batch(crops).to(device))
                loss = now if math.isnan(loss) else loss + 0.01 * (now - loss)
                bar.n = 100 * run.progress()
                bar.set_postfix_str(f"step {run.step}, loss {loss:.3f}", refresh=run.step % 10 == 0)
                if time.monotonic() - saved > 60 * recipe.minutes_between_checkpoints:
                    save()
                    saved = time.monotonic()
        finally:  # an interrupted run loses nothing
            if not math.isnan(loss):
                save()
    return weights
