"""`aecodec embed FILES... -o vectors.npz`: vectors of pictures, near duplicates, and a map."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aecodec.cli.batch import outcomes
from aecodec.cli.collection import collect
from aecodec.cli.files import (
    STANDARD_STREAM,
    UsageError,
    check_outputs,
    choose_output,
    error_context,
    first_bytes,
    is_stream,
    path_of,
    printable,
    read_bytes,
    write,
)
from aecodec.cli.jobs import CLUSTER_OR_JOBS, Batch, Job, Record
from aecodec.cli.naming import COMPRESSED, PICTURES
from aecodec.cli.options import Cluster, Force, Jobs, Quiet
from aecodec.cli.progress import Bar

if TYPE_CHECKING:
    from aecodec.uses.embedding import Embedding
    from aecodec.uses.library import Entry, Library

KEPT_EVERY = 1000  # files after which the output is written for --resume: 2.5 s for 100 000 pictures


def embed(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="FILES...", parser=path_of, help="Pictures, .aec files, or folders of them."),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="VECTORS.npz", parser=path_of, help="Write vectors here."),
    ] = None,
    duplicates: Annotated[
        bool, typer.Option("--duplicates", help="Print groups of near duplicates on stdout.")
    ] = False,
    map_page: Annotated[
        Path | None,
        typer.Option("--map", metavar="MAP.html", parser=path_of, help="Write a map of the pictures."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Add to the output; files in it that are unchanged take no time.")
    ] = False,
    jobs: Jobs = 1,
    cluster: Cluster = None,
    force: Force = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print groups as JSON, a list of names a line.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Make vectors by which pictures are compared; of .aec files no pixels are decoded."""
    if output is None and not duplicates and map_page is None:
        raise UsageError("embed has nothing to do: give -o, --duplicates or --map")
    if as_json and not duplicates:
        raise UsageError("--json is of groups: give --duplicates")
    if resume and output is None:
        raise UsageError("--resume continues an output: name it with -o")
    if cluster and jobs > 1:
        raise UsageError(CLUSTER_OR_JOBS)
    batch = Batch(jobs=jobs, cluster=cluster, quiet=quiet)
    files = collect(paths, [PICTURES, COMPRESSED])
    printed = STANDARD_STREAM if duplicates else None  # where groups go
    check_outputs(files, [path for path in (output, map_page, printed) if path])
    target = choose_output(files[0], output, force or resume) if output else None
    page = choose_output(files[0], map_page, force) if map_page else None
    known = read_library(target) if resume and target and target.exists() else None
    library, failures = gather(files, known, target, batch)
    if target:
        save(target, library)
    groups = groups_of(library, Bar(quiet)) if duplicates or page else []
    if duplicates:
        tell(groups, library.names, as_json)
    if page:
        write(page, page_of(library, groups).encode(), force)
    if not quiet:
        done = len(files) - failures
        earlier = f", {len(library.embeddings) - done} more kept" if len(library.embeddings) > done else ""
        failed = f", {failures} failed" if failures else ""
        grouped = f", {len(groups)} groups of near duplicates" if duplicates or page else ""
        typer.echo(f"{done} of {len(files)} files embedded{earlier}{grouped}{failed}", err=True)
    if failures:
        raise typer.Exit(1)


def read_library(path: Path) -> Library:
    """The vectors in a file; raises AecodecError."""
    from aecodec.uses.library import from_bytes

    with error_context(path):
        return from_bytes(read_bytes(path))


def save(path: Path, library: Library) -> None:
    """Write the file of vectors, over an earlier one."""
    from aecodec.uses.library import to_bytes

    write(path, to_bytes(library), force=True)


def gather(
    files: list[Path], known: Library | None, target: Path | None, batch: Batch
) -> tuple[Library, int]:
    """The embeddings known of other files, then those of files, in their order; and the number of failures.

    Each failure is reported.
    """
    from aecodec.uses.library import Library

    entries = {file: entry_of(file) for file in files}
    embeddings = dict(known.embeddings) if known else {}
    jobs = [Job(file, file) for file in files if entries[file] not in embeddings]
    failures, bar = 0, Bar(batch.quiet)

    def library() -> Library:
        made = {entry: embeddings[entry] for entry in entries.values() if entry in embeddings}
        return Library({**others(known, made), **made})

    bar.show("embedding", len(files) - len(jobs), len(files))
    try:
        for done, (job, outcome) in enumerate(outcomes(jobs, embed_one, batch, is_done), 1):
            if isinstance(outcome, Exception):
                bar.clear()
                typer.echo(f"aecodec: {outcome}", err=True)
                failures += 1
            else:
                embeddings[entries[job.source]] = outcome["embedding"]
            if target and done % KEPT_EVERY == 0 and not is_stream(target):
                save(target, library())
            bar.show("embedding", len(files) - len(jobs) + done, len(files))
    finally:  # an interrupt leaves no bar behind
        bar.clear()
    return library(), failures


def others(known: Library | None, made: Collection[Entry]) -> dict[Entry, Embedding]:
    """The known embeddings of all files but those that were embedded now, by whatever name."""
    if known is None:
        return {}
    paths = {os.path.abspath(entry.name) for entry in made}
    return {
        entry: embedding
        for entry, embedding in known.embeddings.items()
        if os.path.abspath(entry.name) not in paths
    }


def entry_of(file: Path) -> Entry:
    """The entry of a file. It has the size -1 if the file cannot be read; its job will say why."""
    from aecodec.uses.library import Entry

    try:
        return Entry.of(file)
    except OSError:
        return Entry(str(file), -1, 0)


def is_done(job: Job) -> bool:
    """Whether a file need not be embedded: never, as a job writes no file that could be there already."""
    return False


def embed_one(job: Job) -> Record:
    """The embedding of one file; raises AecodecError."""
    from aecodec import AecodecError

    try:
        return {"embedding": embedding_of(job.source)}
    except OSError as error:
        raise AecodecError(f"{job.source}: cannot be read: {error.strerror}") from error


def embedding_of(file: Path) -> Embedding:
    """The embedding of a picture or an .aec file, by its first bytes; raises AecodecError and OSError."""
    from aecodec.uses import embedding

    if COMPRESSED.recognise(first_bytes(file)):
        with error_context(file):
            return embedding.embed_compressed(read_bytes(file))
    return embedding.embed(file)


def groups_of(library: Library, bar: Bar) -> list[list[int]]:
    """Groups of near duplicates, as paths in the library."""
    from aecodec.uses import embedding
    from aecodec.uses.verification import verified

    with bar.within_pictures():
        pairs = embedding.similar_pairs(library.stacked("vectors"), library.stacked("crops"))
    pairs = verified(pairs, library.stacked("thumbnails"))
    return embedding.groups(len(library.embeddings), pairs)


def tell(groups: list[list[int]], names: list[str], as_json: bool) -> None:
    """Print groups: a line of JSON each, or names with an empty line between groups."""
    for number, group in enumerate(groups):
        members = [names[item] for item in group]
        if as_json:
            typer.echo(json.dumps(members))
            continue
        typer.echo("\n" * bool(number) + "\n".join(printable(Path(name)) for name in members))


def page_of(library: Library, groups: list[list[int]]) -> str:
    """The page of the map; raises AecodecError where there is nothing to draw."""
    from aecodec import AecodecError
    from aecodec.uses.embedding import in_two_dimensions
    from aecodec.uses.pages import map_page

    if not library.embeddings:
        raise AecodecError("no file could be embedded, so there is no map: name other files")
    thumbnails = library.stacked("thumbnails")
    return map_page(library.names, in_two_dimensions(thumbnails), thumbnails, groups)
