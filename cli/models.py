"""`aecodec models`: the models and the stages' networks that are installed."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def models(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the installed models and the networks of the stages."""
    from aecodec.model.registry import list_models, read_manifest
    from aecodec.restoration import networks

    manifests = {directory.name: read_manifest(directory) for directory in list_models()}
    stages = networks.read_manifest()
    if as_json:
        typer.echo(json.dumps({**manifests, "stages": stages}))
        return
    for name, manifest in manifests.items():
        typer.echo(f"{name}: fingerprint {manifest['fingerprint']}, {manifest.get('summary', 'no record')}")
    for name, record in stages.items():
        typer.echo(f"stage {name}: fingerprint {networks.fingerprint(name).hex()}, {record['summary']}")
