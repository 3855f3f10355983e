"""A model directory is whole and unchanged, or it is refused."""

from __future__ import annotations

import io
import json
import os
import shutil
import threading
import weakref
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aecodec.encoder.options import TUNED
from aecodec.encoder.quantisation import quantised
from aecodec.encoder.refinement import refined
from aecodec.entropy.tables import read_tables, write_tables
from aecodec.errors import ModelError, UnknownModelError
from aecodec.model.network import load
from aecodec.model.registry import (
    DECODER_FILES,
    DIRECTORY,
    ENCODER_FILES,
    MANIFEST,
    MORE_MODELS,
    TABLES,
    Model,
    decoder_digest,
    list_models,
    load_model,
    model_named,
    model_with,
)
from aecodec.parallel import loader
from tests.common import run_python

FILES = (*DECODER_FILES, *ENCODER_FILES)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the model directory that a test may spoil."""
    return Path(shutil.copytree(DIRECTORY / TUNED["psnr"], tmp_path / "spoilt"))


def change_manifest(directory: Path, **changes: Any) -> None:
    manifest = json.loads((directory / MANIFEST).read_bytes())
    (directory / MANIFEST).write_text(json.dumps({**manifest, **changes}))


def test_a_copy_is_sound(copy: Path, model: Model) -> None:
    loaded = load_model(copy)
    assert loaded.name == "spoilt"
    assert loaded.fingerprint == model.fingerprint


@pytest.mark.parametrize("name", FILES)
def test_changed_file(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(ModelError, match=f"{name} of model spoilt was changed: reinstall it"):
        load_model(copy)


@pytest.mark.parametrize("name", FILES)
def test_missing_file(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(ModelError, match=f"model spoilt lacks {name}"):
        load_model(copy)


def test_missing_manifest(copy: Path) -> None:
    (copy / MANIFEST).unlink()
    with pytest.raises(ModelError, match=r"model spoilt has no sound manifest\.json"):
        load_model(copy)


@pytest.mark.parametrize("text", ["", "{", "not json", "\xff", "[]", "{}", "null", '{"fingerprint": "00"}'])
def test_invalid_manifest(copy: Path, text: str) -> None:
    (copy / MANIFEST).write_text(text, "latin-1")
    with pytest.raises(ModelError, match=r"manifest\.json"):
        load_model(copy)


@pytest.mark.parametrize("fingerprint", ["00010203", "", "no hex"])
def test_changed_fingerprint(copy: Path, fingerprint: str) -> None:
    change_manifest(copy, fingerprint=fingerprint)
    with pytest.raises(ModelError):
        load_model(copy)


def test_manifest_without_a_sum(copy: Path) -> None:
    change_manifest(copy, sha256={})
    with pytest.raises(ModelError):
        load_model(copy)


def test_a_model_goes_with_its_last_user(model: Model) -> None:
    """Sessions of the engine take 10 to 30 MB each, which cannot wait for the collector of cycles."""
    other = Model(model.name, model.manifest, model.files)
    other.first_means.at(50)
    gone = weakref.ref(other)
    del other
    assert gone() is None


def test_a_network_of_another_release_is_refused(model: Model) -> None:
    files = {**model.files, "gradient.onnx": model.files["synthesis.onnx"]}
    other = Model(model.name, model.manifest, files)
    pixels = np.zeros((32, 32, 3), np.uint8)
    unrefined = quantised(other, pixels, 50, refines=True)
    assert unrefined.state
    with pytest.raises(ModelError, match="takes y: export it anew, or upgrade aecodec"):
        refined(other, pixels, unrefined.latents, unrefined.state, 1)


def fingerprint_of(files: dict[str, bytes]) -> bytes:
    return bytes.fromhex(decoder_digest({name: sha256(data).hexdigest() for name, data in files.items()}))[:4]


def test_fingerprint_is_that_of_the_files(model: Model) -> None:
    assert len(model.fingerprint) == 4
    assert model.fingerprint == fingerprint_of(model.files)


def test_fingerprint_covers_the_decoder_only(model: Model) -> None:
    for name in FILES:
        changed = {**model.files, name: model.files[name] + b"\0"}
        assert (fingerprint_of(changed) == model.fingerprint) == (name in ENCODER_FILES)


def test_models_are_found_by_name_and_fingerprint(model: Model) -> None:
    assert DIRECTORY / TUNED["psnr"] in list_models()
    assert model_named(TUNED["psnr"]).fingerprint == model.fingerprint
    assert model_with(model.fingerprint).name == TUNED["psnr"]


def test_unknown_models() -> None:
    with pytest.raises(UnknownModelError, match=r"no model is called \.\./base"):
        model_named("../base")
    with pytest.raises(UnknownModelError, match="00010203, which is not installed"):
        model_with(b"\0\x01\x02\x03")


def test_more_models(copy: Path, monkeypatch: pytest.MonkeyPatch, model: Model) -> None:
    monkeypatch.setenv(MORE_MODELS, str(copy.parent))
    assert copy in list_models()
    assert model_named("spoilt").name == "spoilt"
    assert model_with(model.fingerprint).name == TUNED["psnr"]


def test_networks_are_built_once_even_in_the_background(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []

    def noted(graph: bytes, threads: int) -> Any:
        built.append(len(graph))
        return load(graph, threads)

    monkeypatch.setattr("aecodec.model.network.load", noted)
    loaded = load_model(copy)
    loaded.load_ahead(40, "first_means", "synthesis")
    assert loaded.first_means.at(40) is loaded.first_means.at(40)
    assert loaded.synthesis.at(40) is loaded.synthesis.at(40)
    loaded.load_ahead(40, "first_means")
    assert len(built) == len(set(built)) == 2


def test_a_network_that_cannot_be_built_is_reported_where_it_is_needed(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loud: list[object] = []
    monkeypatch.setattr(threading, "excepthook", loud.append)
    loaded = load_model(copy)
    broken = Model(loaded.name, loaded.manifest, {**loaded.files, "synthesis.onnx": b"no graph"})
    broken.load_ahead(40, "synthesis")
    loader().submit(lambda: None).result(timeout=60)  # what came before it is done then
    with pytest.raises(ModelError, match="cannot be loaded"):
        broken.synthesis.at(40)
    assert not loud


def test_networks_are_loaded_ahead_by_one_thread_which_a_child_process_lacks(copy: Path) -> None:
    """The C library keeps what each thread freed, so more threads would keep more memory."""
    loaded, before = load_model(copy), loader()
    for quality in (40, 41, 42):
        loaded.load_ahead(quality, "first_means")
    assert loader() is before
    assert sum(thread.name.startswith("aecodec-loader") for thread in threading.enumerate()) == 1
    script = (
        "import os, warnings; warnings.simplefilter('ignore');"  # of forks beside threads, from 3.12 on
        "from aecodec.parallel import loader; loader().submit(int).result();"
        "print(os.fork() or loader().submit(lambda: 42).result(9), flush=True)"
    )
    if hasattr(os, "fork"):
        assert "42" in run_python(script).split()


def test_a_system_without_threads_loads_when_a_network_is_needed(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    loader.cache_clear()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    loaded = load_model(copy)
    loaded.load_ahead(40, "synthesis")
    assert loaded.synthesis.at(40)
    loader.cache_clear()  # its queue holds what it could not begin


def test_tables_of_another_release_are_refused(model: Model) -> None:
    with np.load(io.BytesIO(model.files[TABLES])) as arrays:
        older = {name: arrays[name] for name in arrays if name != "inward"}
    file = io.BytesIO()
    np.savez(file, **older)
    for data in (file.getvalue(), b"no archive"):
        with pytest.raises(ModelError, match="export the model anew"):
            read_tables(data)


def test_tables_say_their_format(model: Model) -> None:
    """Those of 0.1 say none, which is 1; those of a format of the future are refused."""
    assert "format" not in np.load(io.BytesIO(model.files[TABLES]))
    assert model.tables.format == 1
    written = write_tables(model.tables)
    assert int(np.load(io.BytesIO(written))["format"]) == 1
    assert read_tables(written).format == 1
    with pytest.raises(ModelError, match="tables are of format 2, this release reads 1: upgrade aecodec"):
        read_tables(write_tables(replace(model.tables, format=2)))
