"""What a training run is made with: its folder keeps it as `run.json`, and no run is resumed with others."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

from aecodec import __version__
from aecodec.errors import AecodecError

NAME = "run.json"
# What may change when a run is resumed: its budget, since a run may go on for longer, how often it saves, and
# what it started from, which a checkpoint takes the place of.
MAY_CHANGE = {"hours", "steps", "minutes_between_checkpoints", "start"}


def run_record(configuration: dict[str, Any], start: Path | None) -> dict[str, Any]:
    """A configuration with the code's release and commit, and the SHA-256 of the weights to start from."""
    return {
        **configuration,
        "release": __version__,
        "commit": commit(),
        "start": hashlib.sha256(start.read_bytes()).hexdigest() if start else None,
    }


def commit() -> str | None:
    """The commit that this code is of, with -dirty where it was changed since; None outside of a checkout."""
    file = Path(__file__).resolve()

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(file.parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", file.name)  # or the package is installed within another repository
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None


def check_resumable(folder: Path, record: dict[str, Any]) -> None:
    """Raise AecodecError if the run in a folder was made with something else than `record` says.

    A run from before there were records is taken as it is.
    """
    path = folder / NAME
    if not path.exists():
        return
    now = json.loads(json.dumps(record))  # where tuples are lists
    try:
        before = dict(json.loads(path.read_text()))
    except (TypeError, ValueError) as error:
        raise AecodecError(f"{path} is no record of a run: empty the folder, or choose another") from error
    names = sorted((before.keys() | now.keys()) - MAY_CHANGE)
    if other := [name for name in names if before.get(name) != now.get(name)]:
        was = ", ".join(f"{name} {before.get(name)}" for name in other)
        raise AecodecError(
            f"{folder} holds a run with another {' and '.join(other)} (it had {was}): "
            "resume it with the same, or go on from its weights in another folder, with --start"
        )


def write_record(folder: Path, record: dict[str, Any]) -> None:
    (folder / NAME).write_text(json.dumps(record, indent=1) + "\n")
