"""A model directory: exported graphs, integer tables and a manifest, checked as they are loaded."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from aecodec.entropy.coder import Coder
from aecodec.entropy.tables import FORMAT, read_tables
from aecodec.errors import ModelError, UnknownModelError
from aecodec.model.network import Network
from aecodec.model.onnx_graph import with_shared
from aecodec.model.released import directory_in_package, released, remedy
from aecodec.parallel import loader

DIRECTORY = Path(__file__).parents[1] / "models"
MORE_MODELS = "AECODEC_MODELS"  # environment variable that names one more folder of model directories
MANIFEST = "manifest.json"
TABLES = "tables.npz"
MEANS = "first_means", "second_means", "third_means"  # the networks of the context passes, in their order
# What a decoder needs, in the order in which the fingerprint covers it; then what only an encoder needs.
DECODER_FILES = (TABLES, *(f"{name}.onnx" for name in MEANS), "synthesis.onnx")
ENCODER_FILES = ("analysis.onnx", "gradient.onnx")


def decoder_digest(sums: dict[str, str]) -> str:
    """The SHA-256, in hexadecimal digits, of the SHA-256 sums of a decoder's files.

    The first 8 digits are the fingerprint, which names the decoder.
    """
    return hashlib.sha256(b"".join(bytes.fromhex(sums[name]) for name in DECODER_FILES)).hexdigest()


def graph_of(model: str, files: dict[str, bytes], name: str) -> bytes:
    """The file of a network among a model's, whole: that of the gradient refers to weights of the decoder's.

    Raises ModelError for the encoder of a model that has none.
    """
    if f"{name}.onnx" not in files:
        raise ModelError(f"model {model} only decodes: compress with another one")
    if name != "gradient":
        return files[f"{name}.onnx"]
    decoder = {file: files[file] for file in DECODER_FILES if file != TABLES}
    return with_shared(files["gradient.onnx"], decoder)


class Model:
    """A model whose files have been checked; its networks are loaded when first used.

    `varied` networks are loaded once for all qualities, and are slower at each. A model that was superseded
    has its decoder's files alone.
    """

    def __init__(
        self, name: str, manifest: dict[str, Any], files: dict[str, bytes], varied: bool = False
    ) -> None:
        graph = partial(graph_of, name, files)  # not of self, which would then outlive its last user
        self.name, self.manifest, self.files = name, manifest, files
        self.varied: Model | None = None  # `for_search`, once it is asked for
        self.fingerprint = bytes.fromhex(manifest["fingerprint"])
        self.tables = read_tables(files[TABLES])
        self.coder = Coder(self.tables)
        # image (3, H, W) in [0, 1] -> y (M, H/16, W/16), z (Z, H/32, W/32)
        self.analysis = Network(partial(graph, "analysis"), varied)
        # z (Z, h/2, w/2) -> features (F, h, w), means (M, h, w)
        self.first_means = Network(partial(graph, "first_means"), varied)
        # features, means so far, known part of y, all (C, h, w) -> means (M, h, w)
        self.second_means = Network(partial(graph, "second_means"), varied)
        self.third_means = Network(partial(graph, "third_means"), varied)  # the same, once more is known
        # y (M, h, w) -> image (3, 16 h, 16 w), about [0, 1]
        self.synthesis = Network(partial(graph, "synthesis"), varied)
        # y (M, h, w), image (3, H, W) in [0, 1], 1 inside it and else 0 (1, H, W), features (F, h, w),
        # derivatives of bits (M, h, w), context passes 0 to 2 (M, h, w) -> two gradients (M, h, w), in bits a
        # step of y. The first is about half that of the error of what the synthesis makes of y, by what the
        # model is tuned for, in bits that this is worth; the second that of bits, which rise with residuals
        # as their derivatives say, through the means that y refines. Derivatives of the activation are
        # clamped to 0 to 1, with which both are up to a quarter longer.
        self.gradient = Network(partial(graph, "gradient"), varied)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied by its fingerprint: the other process has the model installed too."""
        return model_with, (self.fingerprint,)

    @property
    def for_search(self) -> Model:
        """The same for many qualities in turn."""
        if self.varied is None:
            varied = Model(self.name, self.manifest, self.files, varied=True)
            varied.tables, varied.coder = self.tables, self.coder  # with what that has built
            self.varied = varied
        return self.varied

    def load_ahead(self, quality: float, *names: str, together: int = 1) -> None:
        """Load networks for a quality in the background, in this order, where there are threads.

        `together` is how many tiles will be worked on at once. Errors meet whoever needs the network.
        """
        with suppress(RuntimeError):  # of a system without threads
            for name in names:
                loader().submit(getattr(self, name).at, quality, together)


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of a model directory; raises ModelError."""
    try:
        manifest: dict[str, Any] = json.loads((directory / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"model {directory.name} has no sound {MANIFEST} ({error}): reinstall it") from error
    expected = {"fingerprint": str, "sha256": dict}
    if not isinstance(manifest, dict) or not all(isinstance(manifest.get(k), t) for k, t in expected.items()):
        raise ModelError(f"{MANIFEST} of model {directory.name} lacks {' or '.join(expected)}: reinstall it")
    return manifest


@lru_cache(maxsize=4)
def load_model(directory: Path) -> Model:
    """The model in a directory; raises ModelError for a missing or changed file and for another format."""
    manifest = read_manifest(directory)
    if (number := manifest.get("format", FORMAT)) != FORMAT:  # those of 0.1 do not say it
        raise ModelError(
            f"model {directory.name} is of format {number}, this release reads {FORMAT}: upgrade aecodec"
        )
    sums = manifest["sha256"]
    encoder = [name for name in ENCODER_FILES if name in sums]  # one that was superseded has none
    files = {}
    for name in (*DECODER_FILES, *encoder):
        try:
            files[name] = (directory / name).read_bytes()
        except OSError as error:
            raise ModelError(f"model {directory.name} lacks {name} ({error}): reinstall it") from error
        if hashlib.sha256(files[name]).hexdigest() != sums.get(name):
            raise ModelError(f"{name} of model {directory.name} was changed: reinstall it")
    digest = decoder_digest(sums)
    if digest[:8] != manifest["fingerprint"]:
        raise ModelError(f"fingerprint of model {directory.name} is not that of its files: reinstall it")
    if (entry := released().get(digest[:8])) and entry.sha256 != digest:
        raise ModelError(f"model {directory.name} is not the released one of its fingerprint: remove it")
    return Model(directory.name, manifest, files)


def list_models() -> list[Path]:
    """The directories of the installed models, ours first, by name."""
    folders = [DIRECTORY, *(Path(folder) for folder in [os.environ.get(MORE_MODELS)] if folder)]
    return [path.parent for folder in folders for path in sorted(folder.glob(f"*/{MANIFEST}"))]


def model_named(name: str) -> Model:
    """An installed model; raises UnknownModelError."""
    known = {directory.name: directory for directory in reversed(list_models())}
    if name not in known:
        raise UnknownModelError(f"no model is called {name}: installed are {', '.join(known) or 'none'}")
    return load_model(known[name])


def directory_with(fingerprint: bytes) -> Path | None:
    """The directory of the installed model that wrote a file, if there is one."""
    for path in list_models():
        if read_manifest(path)["fingerprint"] == fingerprint.hex():
            return path
    entry = released().get(fingerprint.hex())
    return directory_in_package(entry) if entry else None


def model_with(fingerprint: bytes) -> Model:
    """The installed model that wrote a file; raises UnknownModelError."""
    if directory := directory_with(fingerprint):
        return load_model(directory)
    raise UnknownModelError(
        f"written with model {fingerprint.hex()}, which is not installed: {remedy(fingerprint)}"
    )
