"""What a release wrote with is kept for ever: the registry only grows, and all that it lists is there."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

import aecodec
from aecodec.encoder.options import TUNED
from aecodec.entropy.tables import FORMAT
from aecodec.errors import ModelError, UnknownModelError
from aecodec.model import registry
from aecodec.model import released as register
from aecodec.model.registry import DIRECTORY, ENCODER_FILES, MANIFEST, MORE_MODELS, load_model, model_with
from aecodec.model.released import Released, released
from aecodec.restoration import networks
from tests import release
from tests.common import picture_of_mode

# Release, name and SHA-256 of every released decoder. `python -m tests.release` prints new lines.
# From 1.0.0 on, lines are added and none is changed or removed.
RELEASED: list[tuple[str, str, str]] = [
    ("1.0.0", "base", "6001e9810c01dbe4557f402a2c8dbe78338c5d9e51077d7a5cca12e7f50fd2cd"),
    ("1.0.0", "visual", "78e99b4459359be629a6b4fc97b360b31f18fcedd9b3da1aa6c6af062c5e9d8c"),
    ("1.0.0", "enhance", "4d5b3416935b019ee87d241c5971c660032dc4fa29da57073a9486218c639d83"),
    ("1.0.0", "upscale2", "1466c1747265e10067159e06e7f6776e12c76d2f4c4aa62b44a8a1cc9869ab7b"),
    ("1.0.0", "upscale3", "3a2179ddf08e9504137ee60b7df18aa0a8e457762595c7b566b387e400fa2f5a"),
    ("1.0.0", "upscale4", "04531531fdd1055ae1dcd7145c98541ec0e936675f0f2a8fe3e08126fdabe09b"),
]


def register_these(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *models: Released) -> None:
    """A registry of some models."""
    path = tmp_path / "released.json"
    path.write_text(json.dumps({"models": [asdict(model) for model in models], "stages": []}))
    monkeypatch.setattr(register, "REGISTRY", path)
    released.cache_clear()
    load_model.cache_clear()


@pytest.fixture(autouse=True)
def fresh_registry() -> object:
    yield
    released.cache_clear()
    load_model.cache_clear()


@pytest.fixture
def photo() -> bytes:
    """A learned file of the default model."""
    return aecodec.compress(picture_of_mode("RGB", 40, 33), 40, effort=0)


def shipped(name: str = TUNED["visual"]) -> Released:
    """The entry that a shipped model will have."""
    digests = {name: digest for digest, name in release.candidates(DIRECTORY)["models"]}
    return Released(digests[name], name, "1.0.0")


def moved(tmp_path: Path, name: str = TUNED["visual"]) -> tuple[Path, Path]:
    """A copy of the shipped model, and what is kept of it when it is retired."""
    directory = Path(shutil.copytree(DIRECTORY / name, tmp_path / name))
    return directory, release.retire_model(directory)


def test_the_registry_is_the_list_of_this_test() -> None:
    entries = released().values()
    assert sorted((entry.release, entry.name, entry.sha256) for entry in entries) == sorted(RELEASED)


def test_released_decoders_are_here_or_in_a_data_package_that_is_named() -> None:
    for entry in released().values():
        if entry.name in release.DECODED:
            assert networks.network_with(entry.name, entry.fingerprint)
        elif not entry.package:
            assert registry.decoder_digest(model_with(entry.fingerprint).manifest["sha256"]) == entry.sha256


def test_every_released_decoder_has_golden_files() -> None:
    entries = [entry.sha256 for entry in released().values()]
    assert entries
    assert release.without_golden_file(entries) == []


def test_from_1_0_0_on_all_that_ships_is_released() -> None:
    if int(aecodec.__version__.split(".")[0]) >= 1:
        known = {entry.sha256 for entry in released().values()}
        assert {d for found in release.candidates(DIRECTORY).values() for d, _ in found} <= known


def test_a_retired_model_decodes_its_files_and_does_not_encode(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, photo: bytes
) -> None:
    expected = aecodec.decompress(photo)
    directory, kept = moved(tmp_path)
    shutil.rmtree(directory)
    assert not [name for name in ENCODER_FILES if (kept / name).exists()]
    register_these(monkeypatch, tmp_path, shipped())
    monkeypatch.setattr(registry, "DIRECTORY", tmp_path)
    np.testing.assert_array_equal(aecodec.decompress(photo), expected)
    assert model_with(shipped().fingerprint).name == kept.name
    with pytest.raises(ModelError, match=f"model {kept.name} only decodes: compress with another one"):
        aecodec.compress(picture_of_mode("RGB", 40, 33), 40, model=kept.name, effort=0)


def test_a_missing_released_model_is_named_with_its_data_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, photo: bytes
) -> None:
    entry = Released(shipped().sha256, "visual", "1.0.0", "aecodec-models-9")
    register_these(monkeypatch, tmp_path, entry)
    monkeypatch.setattr(registry, "DIRECTORY", tmp_path)
    with pytest.raises(UnknownModelError, match=r"visual of aecodec 1\.0\.0: pip install aecodec-models-9"):
        aecodec.decompress(photo)
    package = tmp_path / "site" / "aecodec_models_9"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    moved(tmp_path / "site")[1].rename(package / entry.fingerprint.hex())
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert aecodec.decompress(photo).size == (40, 33)


def test_a_missing_model_that_no_release_had_is_said_to_be_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, photo: bytes
) -> None:
    register_these(monkeypatch, tmp_path)
    monkeypatch.setattr(registry, "DIRECTORY", tmp_path)
    with pytest.raises(UnknownModelError, match="no release up to this one has it: upgrade aecodec"):
        aecodec.decompress(photo)


def test_what_only_has_the_fingerprint_of_a_released_model_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entry = shipped()
    register_these(monkeypatch, tmp_path, Released(entry.sha256[:8] + "0" * 56, "visual", "1.0.0"))
    assert entry.fingerprint.hex() in released()
    with pytest.raises(ModelError, match="is not the released one of its fingerprint"):
        load_model(DIRECTORY / TUNED["visual"])


def test_models_of_another_format_are_refused_and_do_not_disturb(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, photo: bytes
) -> None:
    directory, _ = moved(tmp_path)
    manifest = json.loads((directory / MANIFEST).read_bytes())
    strange = {**manifest, "format": FORMAT + 1, "fingerprint": "00010203"}
    (directory / MANIFEST).write_text(json.dumps(strange))
    monkeypatch.setenv(MORE_MODELS, str(tmp_path))
    expected = f"is of format {FORMAT + 1}, this release reads {FORMAT}: upgrade aecodec"
    with pytest.raises(ModelError, match=expected):
        model_with(b"\0\1\2\3")
    assert aecodec.decompress(photo).size == (40, 33)


def test_a_retired_stage_is_taken_by_its_fingerprint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(networks.DIRECTORY, tmp_path / "networks"))
    before = networks.fingerprint("upscale2")
    kept = release.retire_stage("upscale2", folder)
    manifest = json.loads((folder / networks.MANIFEST).read_bytes())
    manifest["upscale2"] = manifest["upscale3"]  # a successor
    (folder / networks.MANIFEST).write_text(json.dumps(manifest))
    shutil.copy(folder / "upscale3.onnx", folder / "upscale2.onnx")
    monkeypatch.setattr(networks, "DIRECTORY", folder)
    for cached in (networks.read_manifest, networks.network):
        cached.cache_clear()
    assert networks.network_with("upscale2", before).graph() == kept.read_bytes()
    assert networks.network_with("upscale2", networks.fingerprint("upscale3")).graph() != kept.read_bytes()
    for cached in (networks.read_manifest, networks.network):
        cached.cache_clear()


def test_a_release_adds_what_is_shipped_once() -> None:
    found = release.candidates(DIRECTORY)
    first = release.released_after({"models": [], "stages": []}, found, "1.0.0")
    assert [entry["name"] for entry in first["models"]] == sorted(path.name for path in DIRECTORY.iterdir())
    assert [entry["name"] for entry in first["stages"]] == list(release.DECODED)
    assert release.released_after(first, found, "1.1.0") == first
    another = {"models": [(first["models"][0]["sha256"][:8] + "0" * 56, "new")]}
    with pytest.raises(release.NotReady, match="has the fingerprint"):
        release.released_after(first, another, "1.1.0")


def test_a_release_has_golden_files_of_its_models() -> None:
    assert release.without_golden_file([shipped().sha256, "00010203"]) == ["00010203"]
