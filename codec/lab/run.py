"""One run of the lab: it trains entries, writes files of held-out samples and gathers what a page shows."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager, redirect_stderr
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from aecodec.errors import AecodecError
from aecodec.lab import detection, documents, stopping, strips, unet
from aecodec.lab.autoencoder import Autoencoder
from aecodec.lab.catalogue import Entry, entries
from aecodec.lab.data import Samples, electrocardiogram, sklearn_datasets, windows
from aecodec.lab.detection import Detection
from aecodec.lab.figures import WRITTEN, Figures, figures_of, other_codecs, psnr, through_files
from aecodec.lab.generative import Generative
from aecodec.lab.training import Model, encode, fit, seconds_of, write_model
from aecodec.parallel import thread_count
from aecodec.training.interrupts import first_interrupt_only

RECORD = "lab.json"
ECG_STRIDE = 3  # between windows to learn from: the ECG beats every 20 values, which 3 does not divide
ECG_FPR = 0.01
CUT = 320  # pixels of the page of words that is shown

Tell = Callable[[str], None]
Detections = list[tuple[str, Detection]]  # on which data
Job = tuple[str, Callable[..., Any], tuple[Any, ...]]  # a name, a function of a module, its arguments


@dataclass(slots=True)
class Report:
    """What a page shows."""

    data: str
    train: int
    held_out: int
    max_bytes: int
    figures: list[Figures] = field(default_factory=list)
    strips: list[tuple[str, str, Image.Image]] = field(default_factory=list)  # section, caption, picture
    maps: list[tuple[str, Image.Image]] = field(default_factory=list)
    detections: Detections = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a run writes, which share of all steps it makes, and how large a file may be."""

    out: Path
    share: float
    max_bytes: int


def claim_folder(settings: Settings, samples: Samples) -> None:
    """Claim a folder for these samples and this share; raises AecodecError if it is that of others."""
    settings.out.mkdir(parents=True, exist_ok=True)
    claim = {"samples": samples.checksum, "share": settings.share}
    record = settings.out / RECORD
    if record.exists():
        try:
            known = json.loads(record.read_text("utf-8")).get("claim")
        except (ValueError, AttributeError) as error:
            raise AecodecError(
                f"{record} is no record of a run: remove it, or choose another folder"
            ) from error
        if known != claim:
            raise AecodecError(f"{settings.out} holds a run of other samples or steps: choose another folder")
    else:
        record.write_text(json.dumps({"claim": claim}))


def run_pictures(
    samples: Samples,
    chosen: list[Entry],
    settings: Settings,
    tell: Tell,
    words: bool = False,
    odd: bool = False,
) -> Report:
    """Train the chosen entries on pictures and measure them.

    With `words` the U-Net on printed words too, and with `odd` what tells odd samples from normal ones.
    """
    claim_folder(settings, samples)
    train, held_out = samples.split()
    train_ahead(jobs_of(train, held_out, chosen, words, odd, settings), tell)
    report = Report(samples.name, len(train.values), len(held_out.values), settings.max_bytes)
    examples = held_out.values[: strips.SHOWN]
    report.strips.append(("Reconstructions", "held-out samples", strips.strip(examples)))
    for number, entry in enumerate(chosen, 1):
        tell(f"{number} of {len(chosen)}: {entry.name}")
        try:
            measure(entry, train, held_out, settings, report)
        except AecodecError as error:
            tell(f"{entry.name} is left out: {error}")
    best = max((row.psnr or 0 for row in report.figures), default=0)
    tell("other codecs")
    report.figures += other_codecs(held_out, best)
    if words:
        try:
            run_words(settings, report, tell)
        except AecodecError as error:
            tell(f"{unet.NAME} is left out: {error}")
    for name, detect, arguments in detections_of(train, held_out, settings) if odd else []:
        tell(name)
        try:
            report.detections += detect(*arguments)
        except AecodecError as error:
            tell(f"{name} is left out: {error}")
    return report


def detections_of(train: Samples, held_out: Samples, settings: Settings) -> list[Job]:
    """Jobs that tell odd samples from normal ones, in these samples, in a table and in a series."""
    classes = [("each class", run_classes, (train, held_out, settings))] if train.labels is not None else []
    return [*classes, ("a table", run_table, (settings,)), ("a series", run_series, (settings,))]


def jobs_of(
    train: Samples, held_out: Samples, chosen: list[Entry], words: bool, odd: bool, settings: Settings
) -> list[Job]:
    """What is trained for a report, about the longest first."""
    jobs: list[Job] = [(unet.NAME, unet.learn_cleaning, (settings.out, settings.share))] if words else []
    jobs += detections_of(train, held_out, settings) if odd else []
    for entry in sorted(chosen, key=lambda entry: -entry.steps):
        jobs.append((entry.name, train_entry, (entry.name, train.values, held_out.values, settings)))
    return jobs


def train_entry(
    name: str, train: NDArray[np.float32], held_out: NDArray[np.float32], settings: Settings
) -> None:
    """Train the entry of a name: entries have functions, which do not travel to other processes."""
    [entry] = entries([name])
    fit(entry, train, held_out, settings.out / name, settings.share)


def train_ahead(jobs: list[Job], tell: Tell) -> None:
    """Train networks side by side, each in a process of one thread: they are too small to share cores.

    Who measures finds them trained. What fails here fails there too, and is reported there. An interrupt is
    raised when all have saved how far they are.
    """
    if (workers := min(thread_count(), len(jobs))) < 2:
        return
    context = get_context("spawn")
    stop = context.Event()
    with first_interrupt_only(), ProcessPoolExecutor(workers, context, stopping.begin, (stop,)) as pool:
        try:
            train_in(pool, workers, jobs, tell)
        except BrokenExecutor:
            tell("a process died: what is left is trained one by one")
        finally:
            stop.set()


def train_in(pool: ProcessPoolExecutor, workers: int, jobs: list[Job], tell: Tell) -> None:
    """Do jobs in the processes of a pool; raises BrokenExecutor where one of these dies."""
    # No job waits in the pool: one that does would still be trained after an interruption.
    waiting, running, done = iter(jobs), dict[Future[None], str](), 0
    while True:
        for name, learn, arguments in islice(waiting, workers - len(running)):
            running[pool.submit(learn_quietly, learn, arguments)] = name
        if not running:
            return
        for job in wait(running, return_when=FIRST_COMPLETED).done:
            if isinstance(error := job.exception(), BrokenExecutor):
                raise error
            done += 1
            tell(f"trained {done} of {len(jobs)}: {running.pop(job)}")


def learn_quietly(learn: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    """Do a job in this process with one thread, without a word; what it returns is not kept."""
    torch.set_num_threads(1)
    with without_bars():
        learn(*arguments)


@contextmanager
def without_bars() -> Iterator[None]:
    """A context in which nothing is printed on stderr; errors are raised as ever."""
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
        yield


def measure(entry: Entry, train: Samples, held_out: Samples, settings: Settings, report: Report) -> None:
    """Train an entry and add its figures, reconstructions and map of latents to the report."""
    network = fit(entry, train.values, held_out.values, settings.out / entry.name, settings.share)
    model = write_model(entry.name, network, train.values, settings.out / f"{entry.name}.safetensors")
    seconds = seconds_of(settings.out / entry.name)
    wanted = held_out.values[:WRITTEN]
    seen = strips.corrupted(model, wanted)
    folder = settings.out / entry.name / "files"
    coded = through_files(model, seen, folder, settings.max_bytes, bounded=True)
    row = figures_of(entry.name, entry.says, wanted, coded)
    report.figures.append(replace(row, parameters=model.parameters, seconds=seconds, latents=network.latents))
    y = encode(model.network, held_out.values[: strips.MAPPED])
    report.maps.append((entry.name, strips.latent_map(y, held_out.labels)))
    show(model, wanted, seen, coded.decoded, row, report)


def show(
    model: Model,
    wanted: NDArray[np.float32],
    seen: NDArray[np.float32],
    decoded: NDArray[np.float32],
    row: Figures,
    report: Report,
) -> None:
    """Add the strips of an entry to the report."""
    caption = f"{row.name}: {row.psnr:.2f} dB at {row.mean_bytes:.1f} bytes"
    if type(model.network).corrupt is not Autoencoder.corrupt:
        before = psnr(wanted, seen)
        report.strips.append(
            (
                "Spoiled and restored",
                f"what {row.name} sees: {before:.2f} dB",
                strips.strip(seen[: strips.SHOWN]),
            )
        )
        report.strips.append(("Spoiled and restored", caption, strips.strip(decoded[: strips.SHOWN])))
        return
    report.strips.append(("Reconstructions", caption, strips.strip(decoded[: strips.SHOWN])))
    if isinstance(model.network, Generative):
        report.strips.append(("New samples", row.name, strips.strip(strips.drawn(model.network))))
        path = strips.interpolated(model, wanted[0], wanted[1])
        report.strips.append(("From one sample to another", row.name, strips.strip(path)))


def run_words(settings: Settings, report: Report, tell: Tell) -> None:
    """Train the U-Net on printed words and add a page in other fonts to the report."""
    tell("printed words")
    network = unet.learn_cleaning(settings.out, settings.share)
    seconds = seconds_of(settings.out / unet.NAME)
    page, seen = unet.unseen_page()
    cleaned = unet.clean(network, seen)
    for caption, image in (("seen", seen), ("cleaned", cleaned), ("printed", page.clean)):
        figure = psnr(page.clean, image)
        says = f"{caption}: {figure:.2f} dB" if figure else caption
        report.strips.append(
            ("Printed words", says, Image.fromarray(np.rint(image[:CUT] * 255).astype(np.uint8)))
        )
    count = sum(weights.numel() for weights in network.parameters())
    says = (
        f"a page of {'x'.join(map(str, unet.TEST_PAGE))} in {len(documents.HELD_OUT)} unseen fonts, no file"
    )
    report.figures.append(Figures("unet", says, 0, 0, psnr(page.clean, cleaned), count, seconds))


def run_classes(train: Samples, held_out: Samples, settings: Settings) -> Detections:
    """How well each class is told from the others, mean over classes."""
    results = detection.one_class(train, held_out, settings.out, settings.share)
    return [("each class as the normal one, mean", result) for result in results]


def run_table(settings: Settings) -> Detections:
    """How well malignant tumours are told from benign ones, of which alone networks learn."""
    table = sklearn_datasets().load_breast_cancer()
    rows = Samples(table.data.astype(np.float64)[:, None], table.target.astype(str), False, "breast cancer")
    return run_rows(rows, "1", replace(settings, out=settings.out / "table"))


def run_rows(samples: Samples, normal: str, settings: Settings, fpr: float = detection.FPR) -> Detections:
    """Learn from 60 % of normal rows, set the threshold by 20 %, test on the rest and on all others."""
    assert samples.labels is not None
    good = samples.labels == normal
    if good.sum() < 10 or good.all():
        raise AecodecError(
            f"{samples.name} has {int(good.sum())} rows labelled {normal!r} of {len(good)}: "
            "name with --normal a label that ten rows have and some have not"
        )
    values = samples.values[good][np.random.default_rng(0).permutation(int(good.sum()))]
    learned, held_out, unseen = np.split(values, [6 * len(values) // 10, 8 * len(values) // 10])
    odd = samples.values[~good]
    results = detection.rows(learned, held_out, unseen, odd, settings.out, settings.share, fpr)
    return [(samples.name, result) for result in results]


def run_series(settings: Settings) -> Detections:
    """Learn a normal ECG's windows, and tell those of another of which half is odd from those without."""
    normal, other, odd = electrocardiogram()
    learned = windows(normal, stride=ECG_STRIDE)
    share = windows(odd.astype(np.float32)).mean((1, 2))
    unseen = windows(other)
    cut = 8 * len(learned) // 10
    results = detection.rows(
        learned[:cut],
        learned[cut:],
        unseen[share == 0],
        unseen[share >= 0.5],
        settings.out / "series",
        settings.share,
        ECG_FPR,
    )
    return [("ECG of aeon, windows", result) for result in results]


def write_record(settings: Settings, report: Report) -> None:
    """Add all figures to the record of the run."""
    path = settings.out / RECORD
    record = json.loads(path.read_text("utf-8"))
    record["figures"] = [asdict(row) for row in report.figures]
    record["detections"] = [{"data": data, **asdict(row)} for data, row in report.detections]
    path.write_text(json.dumps(record, indent=1))
