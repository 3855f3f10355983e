"""`aecodec train`: train the codec and the stages, and export them; needs the extra `train`."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isfinite
from os import environ
from pathlib import Path
from shutil import which
from sys import platform
from typing import Annotated

import typer

from aecodec.cli.files import UsageError, check_outputs, existing, folder_of

train = typer.Typer(
    help="Train networks (needs the extra `train`).", no_args_is_help=True, rich_markup_mode=None
)

STAGES = ("denoise", "enhance", "upscale", "srcnn2", "srcnn3", "srcnn4")

Data = Annotated[
    list[Path],
    typer.Option(metavar="PATH", parser=existing, help="Folder, tar archive or picture; may be repeated."),
]


def require_torch() -> None:
    """Raises MissingExtraError where the extra is missing."""
    try:
        import compressai  # noqa: F401
        import onnx  # noqa: F401
        import pytorch_msssim  # noqa: F401
        import pytorch_optimizer  # noqa: F401
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        from aecodec import MissingExtraError

        raise MissingExtraError(f"{error}: run pip install 'aecodec[train]'") from error


Out = Annotated[
    Path,
    typer.Option(metavar="PATH", parser=folder_of, help="Folder of the run; a checkpoint there is resumed."),
]
Validation = Annotated[
    list[Path] | None, typer.Option(metavar="PATH", parser=existing, help="Pictures to log figures on.")
]
Hours = Annotated[float | None, typer.Option(min=0, help="Budget of training time.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Budget of steps instead.")]
Start = Annotated[
    Path | None, typer.Option(metavar="PATH", parser=existing, help="Weights (safetensors) to start from.")
]
Crops = Annotated[int, typer.Option(min=2, help="Crops a step.")]
Rate = Annotated[float, typer.Option(min=0, help="Learning rate.")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the random crops.")]
Weights = Annotated[Path, typer.Argument(parser=existing, help="weights.safetensors of a run.")]
Tune = Annotated[str, typer.Option(help="What error is measured by, also by efforts: visual or psnr.")]


@train.command()
def codec(
    data: Data,
    out: Out,
    validation: Validation = None,
    hours: Hours = None,
    steps: Steps = None,
    start: Start = None,
    batch: Crops = 32,
    rate: Rate = 1e-3,
    seed: Seed = 0,
    tune: Tune = "visual",
    compile: Annotated[
        bool, typer.Option("--compile", help="Compile the network, for minutes: steps take a seventh less.")
    ] = False,
) -> None:
    """Train the codec on photographs; resumes where it stopped."""
    require_schedule(hours, steps, rate)
    require_tuning(tune)
    require_torch()
    if compile:
        require_compiler()
    require_apart(out, start)
    from aecodec.training.loop import Schedule, begun_with
    from aecodec.training.loop import train as run
    from aecodec.training.rate_distortion import RateDistortion

    task = RateDistortion.of(data, validation or [], batch, tune, compile, begun_with(out, start))
    weights = run(Schedule(hours, steps, rate, seed=seed), task, out, start)
    typer.echo(f"{weights}: export it with `aecodec train export`", err=True)


def train_stage(name: str) -> Callable[..., None]:
    """The command that trains one stage."""

    def command(
        data: Data,
        out: Out,
        validation: Validation = None,
        hours: Hours = None,
        steps: Steps = None,
        start: Start = None,
        batch: Crops = 16,
        rate: Rate = 1e-3,
        seed: Seed = 0,
    ) -> None:
        require_schedule(hours, steps, rate)
        require_torch()
        require_apart(out, start)
        from aecodec.training.loop import Schedule
        from aecodec.training.loop import train as run
        from aecodec.training.restoration import make_task

        task = make_task(name, data, validation or [], batch)
        weights = run(Schedule(hours, steps, rate, seed=seed), task, out, start)
        typer.echo(f"{weights}: export it with `aecodec train export-stage {name}`", err=True)

    command.__doc__ = f"Train the stage `{name}` on photographs; resumes where it stopped."
    return command


for stage in STAGES[:3]:
    train.command(stage)(train_stage(stage))


@train.command()
def srcnn(
    data: Data,
    out: Out,
    scale: Annotated[int, typer.Option("--scale", "-s", min=2, max=4, help="2, 3 or 4.")] = 2,
    validation: Validation = None,
    hours: Hours = None,
    steps: Steps = None,
    start: Start = None,
    batch: Crops = 16,
    rate: Rate = 1e-3,
    seed: Seed = 0,
) -> None:
    """Train SRCNN for one scale on photographs; resumes where it stopped."""
    train_stage(f"srcnn{scale}")(data, out, validation, hours, steps, start, batch, rate, seed)


def require_schedule(hours: float | None, steps: int | None, rate: float) -> None:
    """Raises UsageError unless exactly one of the budgets is given and it and the rate are finite."""
    if (hours is None) == (steps is None):
        raise UsageError("give a budget: either --hours or --steps")
    if hours is not None and not 0 < hours < inf:
        passes = "is no time to train" if hours == 0 else "never pass"
        raise UsageError(f"--hours {hours:g} {passes}: give a number of hours above 0")
    if not isfinite(rate):
        raise UsageError(f"--rate {rate} is no rate: give a number, such as 1e-3")


def require_tuning(tune: str) -> None:
    """Raise UsageError for a measure that no model is tuned for."""
    from aecodec.encoder.options import TUNED

    if tune not in TUNED:
        raise UsageError(f"--tune {tune}: choose {' or '.join(TUNED)}")


def require_apart(out: Path, start: Path | None) -> None:
    """Raise UsageError if a run in the folder `out` would overwrite the weights that it starts from."""
    from aecodec.training.loop import WEIGHTS

    check_outputs([start] if start else [], [out / WEIGHTS])


def require_compiler() -> None:
    """Raise UsageError if torch would find no C++ compiler."""
    compiler = environ.get("CXX") or ("clang++" if platform == "darwin" else "g++")
    if which(compiler) is None:
        raise UsageError(f"--compile needs {compiler}, which is not installed: do so, or name another in CXX")


@train.command()
def export(
    weights: Weights,
    out: Annotated[
        Path, typer.Argument(parser=folder_of, help="Model directory to write; its name is the model's.")
    ],
    data: Data,
    images: Annotated[int, typer.Option(min=1, help="Pictures to fit the tables to.")] = 16,
    refit: Annotated[int, typer.Option(min=0, help="Steps of refitting the scale map.")] = 250,
    summary: Annotated[str, typer.Option(help="Training record, one line.")] = "",
    licence: Annotated[str, typer.Option(help="Licence of the weights and of the data.")] = "",
    tune: Tune = "visual",
) -> None:
    """Export trained weights as a model directory."""
    require_tuning(tune)
    require_torch()
    from aecodec.training.data import Photographs
    from aecodec.training.export import export

    if out.exists():
        raise UsageError(f"{out} exists: name another directory or remove it")
    pictures = Photographs(data)
    record = {"summary": summary, "licence": licence}
    model = export(weights, out, pictures, tune, record, refit_steps=refit, fitted_to=images)
    typer.echo(f"{out}: model {model.fingerprint.hex()}", err=True)


@train.command("export-stage")
def export_stage(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(STAGES)}.")],
    weights: Weights,
    out: Annotated[
        Path, typer.Argument(parser=folder_of, help="Folder that receives the graphs and their record.")
    ],
    summary: Annotated[str, typer.Option(help="Training record, one line.")] = "",
    licence: Annotated[str, typer.Option(help="Licence of the weights and of the data.")] = "",
) -> None:
    """Export a stage's trained weights; put them into codec/restoration/networks to use them."""
    require_torch()
    from aecodec.training.export_stages import export_stage

    if name not in STAGES:
        raise UsageError(f"{name} is no stage: choose of {', '.join(STAGES)}")
    names = export_stage(name, weights, out, {"summary": summary, "licence": licence})
    typer.echo(f"{out}: {', '.join(names)}", err=True)
