"""The files of a batch on the workers of a Dask cluster, whatever becomes of a worker meanwhile.

Workers need this release of aecodec with the same models, and the files under the same names. A job whose
worker dies is done again by another one, until as many have died of it as the scheduler allows
(`allowed-failures`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from aecodec.cli.files import UsageError

if TYPE_CHECKING:
    from aecodec.cli.jobs import Job, Record

RETRIES = 2  # of a job that ended with an error nobody raised on purpose
PATIENCE = 10  # seconds to wait for a scheduler and its first worker


def outcomes_on(
    address: str, jobs: list[Job], attempt: Callable[[Job], Record | Exception]
) -> Iterator[tuple[Job, Record | Exception]]:
    """Each job with what an attempt gave, as they come from the workers of the scheduler at an address.

    Raises UsageError where no scheduler or no worker answers, or where a worker has another release or other
    models, and MissingExtraError without the extra `cluster`.
    """
    client = connect(address)
    from distributed import as_completed

    try:
        placed = [
            replace(job, source=job.source.absolute()) for job in jobs
        ]  # workers have folders of their own
        check_workers(client, address)
        once = partial(attempt_as, installation(), attempt)
        futures = dict(zip(client.map(once, placed, pure=False, retries=RETRIES), jobs, strict=True))
        for future in as_completed(futures, loop=client.loop):
            yield futures[future], outcome_of(future, futures[future])
    finally:
        client.close()  # what has not begun is dropped


def connect(address: str) -> Any:
    """A client of the scheduler at an address; raises as `outcomes_on`."""
    try:
        from distributed import Client
        from distributed.comm import resolve_address
    except ImportError as error:
        from aecodec import MissingExtraError

        raise MissingExtraError(f"{error}: run pip install 'aecodec[cluster]'") from error

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # its errors become ours
    try:
        client = Client(resolve_address(address), timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--cluster {address}: no scheduler answers there: start `dask scheduler`"
        ) from error
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError as error:
        client.close()
        raise UsageError(f"--cluster {address}: it has no worker: start `dask worker {address}`") from error
    return client


@cache
def installation() -> dict[str, str]:
    """The release of this process, and the fingerprints of its models and stages, by name."""
    import aecodec
    from aecodec.model.registry import list_models, read_manifest
    from aecodec.restoration import networks

    models = {f"model {path.name}": str(read_manifest(path)["fingerprint"]) for path in list_models()}
    stages = {f"stage {name}": networks.fingerprint(name).hex() for name in networks.read_manifest()}
    return {"release": aecodec.__version__, **models, **stages}


def difference(theirs: dict[str, str], ours: dict[str, str]) -> str:
    """What a worker lacks of an installation or has otherwise, and ours; it may have more."""
    found = {name: theirs.get(name, "missing") for name, value in ours.items() if theirs.get(name) != value}
    return ", ".join(f"{name} {value} (here {ours[name]})" for name, value in found.items())


def check_workers(client: Any, address: str) -> None:
    """Raises UsageError that names the workers whose installation differs from that of this process."""
    differences = []
    for worker, theirs in client.run(installation, on_error="return").items():
        what = str(theirs) if isinstance(theirs, Exception) else difference(theirs, installation())
        differences += [f"{worker} has {what}"] if what else []
    if differences:
        raise UsageError(f"--cluster {address}: {'; '.join(differences)}: install the same release there")


def attempt_as(
    ours: dict[str, str], attempt: Callable[[Job], Record | Exception], job: Job
) -> Record | Exception:
    """What an attempt gives on a worker, unless that has another installation: it may have come late."""
    from aecodec import AecodecError

    if what := difference(installation(), ours):
        return AecodecError(f"{job.source}: a worker has {what}: install the same release there")
    return attempt(job)


def outcome_of(future: Any, job: Job) -> Record | Exception:
    """What the worker returned, or that none could."""
    from aecodec import AecodecError

    try:
        outcome: Record | Exception = future.result()
    except Exception as error:  # whatever the worker's code or the cluster raised
        return AecodecError(f"{job.source}: not done by the cluster: {type(error).__name__}: {error}")
    return outcome
