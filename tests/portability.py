"""The table of docs/portability.md: `python -m tests.portability [--check | COMMAND ...]`.

The golden files are decoded in fresh processes, each told to compute in another way; then by each COMMAND,
which starts another Python that has what aecodec needs ("/old/bin/python", "qemu-x86_64 -cpu Nehalem
/usr/bin/python3"). This Python and each COMMAND decode with the reference decoder too. With --check this
process alone decodes, by both, as an emulator cannot start others. The exit code is 1 unless all symbols are
those of the golden files and all pixels theirs within one level.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import aecodec
from aecodec.container import Container, parse
from aecodec.entropy.coder import Latents
from aecodec.model.registry import model_with
from aecodec.model.tiling import cell_grid

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "golden"
PACKAGES = ("numpy", "onnxruntime", "constriction")
WITHOUT = "PORTABILITY_WITHOUT"  # environment variable: a package that cannot be imported


def cpu_features() -> dict[str, bool]:
    """The processor's instruction sets as numpy names them, and whether it has them."""
    core: Any = np._core if hasattr(np, "_core") else np.core  # from numpy 2 on, and before
    features: dict[str, bool] = core._multiarray_umath.__cpu_features__
    return features


# OpenBLAS for processors that this one can stand in for: instructions that it lacks would end the process.
BLAS_WAYS = {
    f"OpenBLAS for {name}": {"OPENBLAS_CORETYPE": core}
    for name, core, needs in (
        ("Prescott (SSE3)", "Prescott", {"SSE3", "X86_V2"}),
        ("Haswell (AVX2)", "Haswell", {"AVX2", "X86_V3"}),
        ("Skylake X (AVX-512)", "SkylakeX", {"AVX512_SKX", "X86_V4"}),
    )
    if any(cpu_features().get(feature) for feature in needs)  # numpy renamed them
}
WAYS: dict[str, dict[str, str]] = {
    "as it comes": {},
    "without constriction": {WITHOUT: "constriction"},
    "1 thread": {"AECODEC_THREADS": "1"},
    "2 threads": {"AECODEC_THREADS": "2"},
    "8 threads": {"AECODEC_THREADS": "8"},
    "hash seed 0": {"PYTHONHASHSEED": "0"},
    "hash seed 12345": {"PYTHONHASHSEED": "12345"},
    "numpy without its dispatched instructions": {"NPY_DISABLE_CPU_FEATURES": "dispatched"},
    **BLAS_WAYS,
    "C library without AVX2, AVX-512, FMA": {
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX2_Usable,-AVX512F,-AVX512F_Usable,-FMA,-FMA_Usable"
    },
}


@dataclass(frozen=True, slots=True)
class Report:
    """What a process found: its versions, files decoded, how far their pixels are from the golden ones."""

    versions: str
    files: int
    wrong_symbols: int  # files whose symbols are not those of the golden file
    largest: int  # difference of a sample, in levels
    differing: int  # samples
    samples: int

    @property
    def holds(self) -> bool:
        return self.files > 0 and self.wrong_symbols == 0 and self.largest <= 1


def dispatched() -> str:
    """The instruction sets that numpy uses in this process beyond its baseline, by name."""
    core: Any = np._core if hasattr(np, "_core") else np.core
    features = cpu_features()
    return " ".join(name for name in core._multiarray_umath.__cpu_dispatch__ if features.get(name))


def latents_of(container: Container) -> Latents:
    """The latents of a learned file."""
    learned = container.learned
    assert learned
    coder = model_with(learned.fingerprint).coder
    return coder.decode(container.payload, cell_grid(*container.coded_size), learned.quality, learned.cdf_set)


def digests(z: NDArray[Any], symbols: NDArray[Any]) -> dict[str, str]:
    """What the golden files say of their symbols."""
    planes = {"z": z.astype("<i4"), "symbols": symbols.astype("<i2")}
    return {name: hashlib.sha256(plane.tobytes()).hexdigest() for name, plane in planes.items()}


def by_package(data: bytes) -> tuple[dict[str, str], Image.Image]:
    """The digests of a file, none if it is lossless, and its picture, as the package decodes them."""
    container = parse(data)
    if not container.learned:
        return {}, aecodec.decompress(data)
    latents = latents_of(container)
    return digests(latents.z, latents.symbols), aecodec.decompress(data)


def by_reference(data: bytes) -> tuple[dict[str, str], Image.Image]:
    """The same as the reference decoder decodes them, with nothing of the package."""
    from tests import reference_decoder as reference

    file = reference.read_file(data)
    if file.coding != reference.LEARNED:
        return {}, reference.decode(data)
    z, _, symbols = reference.decode_stream(reference.Model(file.fingerprint), file)
    return digests(z, symbols), reference.decode(data)


DECODERS: dict[str, Callable[[bytes], tuple[dict[str, str], Image.Image]]] = {
    "package": by_package,
    "reference": by_reference,
}


def decode_golden(decoder: str) -> Report:
    """Decodes the golden files in this process; raises ValueError for a picture of another shape."""
    files = wrong = largest = differing = samples = 0
    for path in sorted(GOLDEN.glob("*.aec")):
        found, picture = DECODERS[decoder](path.read_bytes())
        wrong += found != json.loads(path.with_suffix(".json").read_text())
        with Image.open(path.with_suffix(".png")) as image:
            error = np.abs(np.asarray(picture).astype(int) - np.asarray(image))
        files, largest = files + 1, max(largest, int(error.max()))
        differing, samples = differing + int((error > 0).sum()), samples + error.size
    named = ", ".join(f"{package} {version_of(package)}" for package in PACKAGES)
    versions = f"{platform.machine()}, Python {platform.python_version()}, {named}"
    return Report(versions, files, wrong, largest, differing, samples)


def version_of(package: str) -> str:
    """The version of a package, or "none": without `constriction` our own coder does its work."""
    if package == os.environ.get(WITHOUT):
        return "none"
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def leave_out() -> None:
    """Makes importing the package that WITHOUT names fail in this process."""
    if missing := os.environ.get(WITHOUT):
        sys.modules[missing] = None  # type: ignore[assignment]


def run(command: list[str], way: dict[str, str], decoder: str = "package") -> Report:
    """What another process finds that computes in some way."""
    environment = {**os.environ, "PYTHONPATH": str(Path(aecodec.__file__).parents[1]), **way}
    if "NPY_DISABLE_CPU_FEATURES" in way:
        environment["NPY_DISABLE_CPU_FEATURES"] = dispatched()
    script = [*command, "-m", "tests.portability", "--decode", decoder]
    result = subprocess.run(script, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return Report(**json.loads(result.stdout))


def main() -> None:
    if sys.argv[1:2] == ["--decode"]:
        leave_out()
        print(json.dumps(asdict(decode_golden(sys.argv[2]))))
        return
    print("| how | symbols | largest difference | samples that differ | with |\n|---|---|---|---|---|")
    if sys.argv[1:] == ["--check"]:
        holds = [print_row(decoder, decode_golden(decoder)) for decoder in DECODERS]
        sys.exit(not all(holds))
    ways = [(name, [sys.executable], way, "package") for name, way in WAYS.items()]
    ways.append(("reference", [sys.executable], {}, "reference"))
    ways += [
        (f"{command}: {decoder}", shlex.split(command), {}, decoder)
        for command in sys.argv[1:]
        for decoder in DECODERS
    ]
    holds = [print_row(name, run(command, way, decoder)) for name, command, way, decoder in ways]
    sys.exit(not all(holds))


def print_row(name: str, report: Report) -> bool:
    """Prints a row of the table; returns whether what must hold does."""
    symbols = "equal" if report.wrong_symbols == 0 else f"**{report.wrong_symbols} files differ**"
    share = f"{report.differing} of {report.samples}"
    print(f"| {name} | {symbols} | {report.largest} | {share} | {report.versions} |", flush=True)
    return report.holds


if __name__ == "__main__":
    main()
