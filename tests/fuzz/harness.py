"""Fuzzing that is guided by coverage: `pip install -e '.[fuzz]'`, then

    python -m tests.fuzz.harness container|picture [options of libFuzzer] [folder of inputs]

runs until a documented promise breaks, or for as long as `-max_total_time=SECONDS` says. Inputs that
reach new code are kept in the folder. Valid files made with the installed model are there from the start.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["aecodec"]):
    from aecodec.container import parse
    from aecodec.errors import BitstreamError
    from tests.fuzz.files import mutated, sealed_again, seeds
    from tests.fuzz.target import outcome, read_container

TARGETS = {"container": read_container, "picture": outcome}


def mutate(data: bytes, most: int, seed: int) -> bytes:
    """libFuzzer's own mutations with the checksum made right, and ours for what is a valid file."""
    random = Random(seed)
    if random.random() < 0.5:
        with suppress(BitstreamError):
            parse(data)
            return mutated(random, data)[:most]
    return sealed_again(atheris.Mutate(data, most))[:most]


def main() -> None:
    target = TARGETS[sys.argv.pop(1)]
    with tempfile.TemporaryDirectory() as folder:
        for name, data in seeds().items():
            (Path(folder) / name).write_bytes(data)
        options = [*sys.argv, folder] if sys.argv[1:] and not sys.argv[-1].startswith("-") else sys.argv
        atheris.Setup([*options, "-max_len=8192"], lambda data: target(data) and None, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
