"""What releases have written with: decoders that are kept for ever, by their fingerprints.

`released.json` lists them in the order of their release and only grows. `python -m tests.release VERSION`
adds to it. What is not on it is a candidate, and may go.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

REGISTRY = Path(__file__).with_name("released.json")


@dataclass(frozen=True, slots=True)
class Released:
    """A decoder that a release wrote files for: that of a model, or the network of a stage."""

    sha256: str  # 64 hexadecimal digits: of the SHA-256 sums of a model's files, or of a stage's file
    name: str  # that it had in the release
    release: str  # the first one
    package: str = ""  # a data package that has it, once aecodec itself has it no more

    @property
    def fingerprint(self) -> bytes:
        return bytes.fromhex(self.sha256)[:4]


@lru_cache(maxsize=1)
def released() -> dict[str, Released]:
    """The released decoders by the 8 digits of their fingerprints: models, then stages, the oldest first."""
    lists = json.loads(REGISTRY.read_bytes())
    return {entry["sha256"][:8]: Released(**entry) for entry in (*lists["models"], *lists["stages"])}


def directory_in_package(entry: Released) -> Path | None:
    """The model directory of a released model in its data package, if that is installed.

    The package `aecodec-models-1` has a module `aecodec_models_1` with a folder for each fingerprint.
    """
    spec = importlib.util.find_spec(entry.package.replace("-", "_")) if entry.package else None
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    return next((path for folder in folders if (path := folder / entry.fingerprint.hex()).is_dir()), None)


def remedy(fingerprint: bytes) -> str:
    """What somebody can do who has a file but not the decoder that it names."""
    entry = released().get(fingerprint.hex())
    if entry is None:
        return "no release up to this one has it: upgrade aecodec, or install the version that wrote the file"
    if entry.package:
        return f"it is {entry.name} of aecodec {entry.release}: pip install {entry.package}"
    return f"it is {entry.name} of aecodec {entry.release} and part of the package: reinstall aecodec"
