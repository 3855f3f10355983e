"""The one training loop: resumable, scheduled over a budget of hours or of steps.

A run's folder receives `checkpoint.pt` (everything needed to go on; that of further processes is in
`checkpoint-1.pt` and so on), `weights.safetensors` (the averaged weights, which export reads and `--start`
accepts), `log.jsonl` (figures on validation pictures) and `run.json` (what the run is made with). A run is
resumed only with the same configuration, data and code; its budget may change.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from aecodec.errors import AecodecError, ModelError
from aecodec.training import distributed
from aecodec.training.distributed import device
from aecodec.training.interrupts import deferred_interrupts
from aecodec.training.record import check_resumable, run_record, write_record

# Distance between the seeds of two processes. A prime above any number of steps, so that no two draw the same
# batches.
SEEDS_APART = 1_000_003
LOSS_SHARE = 0.01  # of each step in the loss that is shown, a mean over about 100 steps
WEIGHTS = "weights.safetensors"  # of the average, in a run's folder
# Starts of names in weights and checkpoints that were written before modules got the names of the literature,
# such as the .safetensors files of the package. `with_current_names` renames them wherever weights are read.
RENAMED = {
    "analysis.local.": "analysis.stem.",
    "synthesis.render.": "synthesis.refine_fine.",
    "quantiser.inward": "quantiser.reconstruction_offset",
}


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast to train; a run ends after `hours` of training or `steps`, whichever is given."""

    hours: float | None = None
    steps: int | None = None
    rate: float = 2e-3  # highest learning rate: a higher one learns faster, up to where training diverges
    warm_up: int = 300  # steps of rising rate: until the optimiser's moments are known
    clip: float = 5.0  # largest norm of the gradient; above it a rare batch would undo many steps
    average: float = 0.9995  # decay of the moving average, about 2000 steps: longer lags, shorter is noisier
    minutes_between_checkpoints: float = (
        5.0  # of training; most that an interruption loses, against validation
    )
    seed: int = 0


class Task(Protocol):
    """What a loop trains."""

    network: nn.Module

    def configuration(self) -> dict[str, Any]:
        """What it is made with, hashes of its data included, as JSON has it."""

    def optimiser(self, rate: float) -> torch.optim.Optimizer:
        """An optimiser of the network's parameters, at this learning rate or shares of it."""

    def seed(self, number: int) -> None:
        """Draw the batches that belong to this number."""

    def loss(self, progress: float) -> Tensor:
        """The loss of a batch of its own choosing, when `progress`, 0 to 1, of the budget is spent."""

    def validate(self, network: nn.Module) -> list[dict[str, float]]:
        """Figures of a network like its own on validation pictures; none without pictures."""


class Average:
    """A copy of a network whose weights follow it as an exponential moving average."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    def update(self, network: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        averaged = list(self.network.parameters())
        current = [p.detach() for p in network.parameters()]
        torch._foreach_lerp_(averaged, current, 1 - decay)


def learning_rate(progress: float, step: int, warm_up: int) -> float:
    """Share of the full learning rate: a linear warm-up, then a cosine to 1 %."""
    return min(1.0, (step + 1) / warm_up) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


@contextmanager
def rough_products() -> Iterator[None]:
    """A context in which products of float32 matrices may be computed in bfloat16 or TF32.

    That is enough for SOAP, which computes its bases and changes to them and back. The networks need more,
    above all their gains.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class Run:
    """The state of one training run: network, average, optimiser, step and seconds so far."""

    def __init__(self, schedule: Schedule, task: Task) -> None:
        self.schedule, self.task = schedule, task
        self.network = task.network.to(memory_format=torch.channels_last)
        self.average = Average(self.network, schedule.average)
        self.optimiser = task.optimiser(schedule.rate)
        self.local_optimiser = distributed.of_this_process(self.optimiser)
        self.rates = [group["lr"] for group in self.optimiser.param_groups]
        self.step = 0
        self.seconds = 0.0

    def progress(self) -> float:
        """Share of the budget that is spent."""
        if self.schedule.steps is not None:
            return self.step / self.schedule.steps
        return self.seconds / (3600 * self.schedule.hours) if self.schedule.hours else 1.0

    def state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimiser": self.local_optimiser.state_dict(),
            "kind": type(self.local_optimiser).__name__,
            "processes": distributed.processes(),
            "step": self.step,
            "seconds": self.seconds,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a saved state.

        Raises AecodecError if it is of another optimiser or number of processes.
        """
        name, processes = type(self.local_optimiser).__name__, distributed.processes()
        if state.get("kind", "Adam") != name:
            raise AecodecError(f"the checkpoint is not of {name}: go on from its weights, with --start")
        if state.get("processes", 1) != processes:
            raise AecodecError(
                f"the checkpoint is a share of {state.get('processes', 1)} processes, not of {processes}: "
                "train with as many as before, or go on from its weights, with --start"
            )
        self.network.load_state_dict(with_current_names(state["network"]))
        self.average.network.load_state_dict(with_current_names(state["average"]))
        self.local_optimiser.load_state_dict(state["optimiser"])
        for group, local_group in zip(
            self.optimiser.param_groups, self.local_optimiser.param_groups, strict=True
        ):
            # before each step the shared one gives its own what its groups say
            group.update({name: local_group[name] for name in local_group if name != "params"})
        self.step, self.seconds = state["step"], state["seconds"]

    def take_from_first(self) -> None:
        """Give every process the weights and the clock of the first; raises AecodecError if steps differ.

        A difference of one step is allowed, because an interruption does not meet all processes at the same
        step.
        """
        steps = distributed.of_all(self.step)
        if max(steps) - min(steps) > 1:
            raise AecodecError(
                f"the processes' checkpoints are of steps {', '.join(map(str, steps))}: "
                "bring together those of one time, or go on from the weights, with --start"
            )
        clock = torch.tensor([self.step, self.seconds], dtype=torch.float64, device=device())
        weights = [*self.network.parameters(), *self.average.network.parameters()]
        distributed.take_from_first([*weights, clock])
        self.step, self.seconds = int(clock[0]), float(clock[1])

    def train_step(self) -> float:
        """One step; returns the loss."""
        began = time.perf_counter()
        share = learning_rate(self.progress(), self.step, self.schedule.warm_up)
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * share
        loss = self.task.loss(self.progress())
        self.network.zero_grad(set_to_none=True)
        loss.backward()
        distributed.average_gradients(self.network)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.schedule.clip)
        if torch.isfinite(norm):
            with rough_products():
                self.optimiser.step()
            self.average.update(self.network, self.step)
        self.step += 1
        elapsed = torch.tensor(time.perf_counter() - began, dtype=torch.float64, device=device())
        distributed.take_from_first([elapsed])  # all end together
        self.seconds += float(elapsed)
        return float(loss.detach())


def with_current_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by the names that modules have today, see RENAMED."""
    named = {}
    for name, tensor in weights.items():
        old = next((start for start in RENAMED if name.startswith(start)), "")
        named[RENAMED.get(old, "") + name.removeprefix(old)] = tensor
    return named


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name; raises ModelError if it holds none."""
    try:
        return with_current_names(load_file(path))
    except (SafetensorError, OSError) as error:  # OSError of a folder, which does not name it
        raise ModelError(f"{path} holds no weights ({error}): choose others") from error


def load_weights(network: nn.Module, path: Path) -> nn.Module:
    """The network with the weights of a safetensors file; raises ModelError if they do not fit it.

    Buffers of the network, such as bounds of likelihoods, keep their values.
    """
    weights = dict(network.named_parameters())
    kept = {name: tensor for name, tensor in network.state_dict().items() if name not in weights}
    try:
        network.load_state_dict({**read_weights(path), **kept})
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ModelError(f"{path} does not hold this network's weights ({reason}): choose others") from error
    return network


def begun_with(out: Path, start: Path | None) -> dict[str, Tensor] | None:
    """The weights that a run in `out` continues from: its checkpoint's, else those of `start`, else None."""
    distributed.join()
    if (checkpoint := checkpoint_in(out)).exists():
        return with_current_names(read_checkpoint(checkpoint, torch.device("cpu"))["network"])
    return read_weights(start) if start else None


def checkpoint_in(out: Path) -> Path:
    """The path of this process's checkpoint."""
    return out / (f"checkpoint-{distributed.rank()}.pt" if distributed.rank() else "checkpoint.pt")


def read_checkpoint(path: Path, place: torch.device) -> dict[str, Any]:
    """The state in a checkpoint; raises ModelError if it is damaged."""
    try:
        state: dict[str, Any] = torch.load(path, map_location=place, weights_only=True)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # of any type: torch unpickles what it finds
        reason = type(error).__name__
        raise ModelError(
            f"{path} is no sound checkpoint ({reason}): remove it, and go on from weights with --start"
        ) from error
    return state


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a network's weights as safetensors."""
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)


def begin_or_resume(schedule: Schedule, task: Task, out: Path, start: Path | None) -> Run:
    """The run of a folder: from its checkpoint, else from the weights `start`, else from nothing.

    Raises AecodecError if the folder's run was made with something else, or if there are two places to go on
    from.
    """
    checkpoint = checkpoint_in(out)
    configuration = {**task.configuration(), **asdict(schedule), "processes": distributed.processes()}
    record = run_record(configuration, start)
    if start:
        load_weights(task.network, start)
    run = Run(schedule, task)
    if not checkpoint.exists():
        if not distributed.rank():
            write_record(out, record)
    else:
        if start:
            raise AecodecError(f"{out} holds a checkpoint already: resume it without --start, or empty it")
        check_resumable(out, record)
        run.load(read_checkpoint(checkpoint, device()))
    run.take_from_first()
    return run


def save(run: Run, out: Path, loss: float) -> None:
    """Write this process's checkpoint; the first also writes the averaged weights and a line of the log."""
    rank = distributed.rank()
    partial = out / (f"partial-{rank}" if rank else "partial")
    torch.save(run.state(), partial)
    partial.replace(checkpoint_in(out))
    if rank:
        return
    save_weights(run.average.network, partial)
    partial.replace(out / WEIGHTS)
    with torch.no_grad():
        points = run.task.validate(run.average.network)
    with (out / "log.jsonl").open("a") as log:
        line = {"step": run.step, "hours": run.seconds / 3600, "loss": loss, "points": points}
        log.write(json.dumps(line) + "\n")


def train(schedule: Schedule, task: Task, out: Path, start: Path | None = None) -> Path:
    """Train a task's network; resumes where `out` holds a checkpoint. Returns the averaged weights' path.

    `start` names weights (safetensors) to begin with.
    """
    distributed.join()
    out.mkdir(parents=True, exist_ok=True)
    run = begin_or_resume(schedule, task, out, start)
    seed = schedule.seed + run.step + SEEDS_APART * distributed.rank()
    torch.manual_seed(seed)
    task.seed(seed)
    loss = math.nan
    saved = run.seconds
    with tqdm(
        total=100,
        initial=100 * run.progress(),
        unit="%",
        bar_format="{l_bar}{bar}| {elapsed}<{remaining} {postfix}",
        disable=distributed.rank() > 0,
    ) as bar:
        try:
            while run.progress() < 1:
                with deferred_interrupts():
                    now = run.train_step()
                    loss = now if math.isnan(loss) else loss + LOSS_SHARE * (now - loss)
                bar.n = 100 * run.progress()
                bar.set_postfix_str(f"step {run.step}, loss {loss:.3f}", refresh=run.step % 10 == 0)
                if run.seconds - saved > 60 * schedule.minutes_between_checkpoints:  # as all find
                    save(run, out, loss)
                    saved = run.seconds
        finally:  # an interrupted run loses nothing
            if not math.isnan(loss):
                save(run, out, loss)
    return out / WEIGHTS
