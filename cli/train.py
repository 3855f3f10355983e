"""`aecodec train`: train the codec and export it; needs the extra `train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.files import UsageError

train = typer.Typer(
    help="Train networks (needs the extra `train`).", no_args_is_help=True, rich_markup_mode=None
)

Data = Annotated[
    list[Path], typer.Option(help="Folder, tar archive or picture; may be repeated.", exists=True)
]


def require_torch() -> None:
    """Raises MissingExtraError where the extra is missing."""
    try:
        import compressai  # noqa: F401
        import onnx  # noqa: F401
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        from codec import MissingExtraError

        raise MissingExtraError(f"{error}: run pip install 'aecodec[train]'") from error


@train.command()
def codec(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder of the run; a checkpoint there is resumed.")],
    validation: Annotated[list[Path] | None, typer.Option(help="Pictures to log rate and PSNR on.")] = None,
    hours: Annotated[float | None, typer.Option(min=0, help="Budget of training time.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Budget of steps instead.")] = None,
    start: Annotated[
        Path | None, typer.Option(help="Weights (safetensors) to start from.", exists=True)
    ] = None,
    batch: Annotated[int, typer.Option(min=2, help="Crops a step.")] = 16,
    rate: Annotated[float, typer.Option(min=0, help="Learning rate.")] = 2e-3,
    seed: Annotated[int, typer.Option(help="Of the random crops and the start.")] = 0,
) -> None:
    """Train the codec on photographs; resumes where it stopped."""
    if (hours is None) == (steps is None):
        raise UsageError("give a budget: either --hours or --steps")
    require_torch()
    from codec.training.train import Recipe, train

    recipe = Recipe(hours=hours, steps=steps, batch=batch, rate=rate, linear_rate=rate / 20, seed=seed)
    weights = train(recipe, data, out, validation or [], start)
    typer.echo(f"{weights}: export it with `aecodec train export`", err=True)


@train.command()
def export(
    weights: Annotated[Path, typer.Argument(help="weights.safetensors of a run.", exists=True)],
    out: Annotated[Path, typer.Argument(help="Model directory to write; its name is the model's.")],
    data: Data,
    images: Annotated[int, typer.Option(min=1, help="Pictures to fit the tables to.")] = 16,
    refit: Annotated[int, typer.Option(min=0, help="Steps of refitting the scale map.")] = 250,
    summary: Annotated[str, typer.Option(help="Training record, one line.")] = "",
    licence: Annotated[str, typer.Option(help="Licence of the weights and of the data.")] = "",
) -> None:
    """Export trained weights as a model directory."""
    require_torch()
    from codec.training.data import read_images
    from codec.training.export import export

    if out.exists():
        raise UsageError(f"{out} exists: name another directory or remove it")
    pictures = read_images(data)
    record = {"summary": summary, "licence": licence}
    model = export(weights, out, pictures, record, refit_steps=refit, fitted_to=images)
    typer.echo(f"{out}: model {model.fingerprint.hex()}", err=True)
