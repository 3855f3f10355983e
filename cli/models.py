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
        summary = manifest.get("summary", "no record")
        typer.echo(described(name, manifest["fingerprint"], summary, "in no release yet, "))
    for name, record in stages.items():  # some of which no file names, so that none is kept for files
        typer.echo(described(f"stage {name}", networks.fingerprint(name).hex(), record["summary"], ""))


def described(name: str, fingerprint: str, summary: str, otherwise: str) -> str:
    """The line of a model or network: fingerprint, the release since which it is kept, training."""
    from aecodec.model.released import released

    entry = released().get(fingerprint)
    since = f"kept since {entry.release}, " if entry else otherwise
    return f"{name}: fingerprint {fingerprint}, {since}{summary}"
