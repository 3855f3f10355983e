"""`aecodec models`: the models that are installed."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def models(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the installed models."""
    from codec.model import list_models, read_manifest

    manifests = {directory.name: read_manifest(directory) for directory in list_models()}
    if as_json:
        typer.echo(json.dumps(manifests))
        return
    for name, manifest in manifests.items():
        typer.echo(f"{name}: fingerprint {manifest['fingerprint']}, {manifest.get('summary', 'no record')}")
