"""The networks of the stages that ship with the package, checked as they are loaded."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from aecodec.errors import ModelError, UnknownModelError
from aecodec.model.network import Network
from aecodec.model.released import remedy

DIRECTORY = Path(__file__).parent / "networks"
MANIFEST = "manifest.json"


@lru_cache(maxsize=1)
def read_manifest() -> dict[str, dict[str, Any]]:
    """The record of each network: its SHA-256, licence and training; raises ModelError."""
    try:
        manifest: dict[str, dict[str, Any]] = json.loads((DIRECTORY / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"the stages have no sound {MANIFEST} ({error}): reinstall aecodec") from error
    return manifest


def digest_of(name: str) -> str:
    """The SHA-256 that a network must have; raises ModelError for one that is not known."""
    try:
        return str(read_manifest()[name]["sha256"])
    except (KeyError, TypeError) as error:
        raise ModelError(f"the network {name} is missing from {MANIFEST}: reinstall aecodec") from error


def fingerprint(name: str) -> bytes:
    """The 4 bytes that name a network: the start of its SHA-256."""
    return bytes.fromhex(digest_of(name))[:4]


def network_with(name: str, expected: bytes) -> Network:
    """The network `name` that a file asks for by its fingerprint; raises UnknownModelError for another.

    One that was superseded stands beside its successor, as `name-fingerprint`.
    """
    if fingerprint(name) == expected:
        return network(name)
    earlier = f"{name}-{expected.hex()}"
    if earlier not in read_manifest():
        raise UnknownModelError(
            f"written for stage {name} {expected.hex()}, which is not installed: {remedy(expected)}"
        )
    return network(earlier)


@lru_cache(maxsize=4)
def network(name: str) -> Network:
    """A stage's network, ready to run; raises ModelError where its file is missing or was changed."""
    try:
        graph = (DIRECTORY / f"{name}.onnx").read_bytes()
    except OSError as error:
        raise ModelError(f"the network {name} is missing ({error}): reinstall aecodec") from error
    if hashlib.sha256(graph).hexdigest() != digest_of(name):
        raise ModelError(f"the network {name} was changed: reinstall aecodec")
    return Network(lambda: graph)
