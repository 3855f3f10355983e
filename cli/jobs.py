"""What a command was asked to do, and with which files."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aecodec.cli.files import UsageError

if TYPE_CHECKING:
    from aecodec import AecodecError

Record = dict[str, Any]  # what came of one file, as --json prints it


@dataclass(frozen=True, slots=True)
class Job:
    """One file to make; STANDARD stands for the standard streams. `refusal` says why it must not be made."""

    source: Path
    target: Path
    refusal: str = ""
    force: bool = False  # overwrite the target


@dataclass(frozen=True, slots=True)
class Batch:
    """How a command treats its files."""

    output_dir: Path | None = None
    recursive: bool = False
    jobs: int = 1
    dry_run: bool = False
    force: bool = False
    as_json: bool = False
    quiet: bool = False
    resume: bool = False
    cluster: str | None = None  # address of a Dask scheduler
    output: Path | None = None  # of the only input

    def __post_init__(self) -> None:
        if self.output and self.output_dir:
            raise UsageError("--output names a file, --output-dir a folder: give one")
        if self.resume and self.force:
            raise UsageError("--resume leaves outputs that exist, --force overwrites them: give one")
        if self.cluster and self.jobs > 1:
            raise UsageError("--cluster has as many jobs at a time as workers: leave out --jobs")

    @property
    def keeps(self) -> bool:
        """Whether a job whose output exists may be done: by an earlier run, or by a worker that then died."""
        return self.resume or (self.cluster is not None and not self.force)


def unexpected(job: Job, error: Exception) -> AecodecError:
    """The failure of a job that ended with an error nobody raised on purpose, and where it was raised."""
    from aecodec.errors import AecodecError, one_line

    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}, line {place.lineno}"
    what = one_line(f"{type(error).__name__}: {error}")
    remedy = "please report it, with the file if you can"
    return AecodecError(f"{job.source}: a fault of aecodec ({what}, in {where}): {remedy}")
