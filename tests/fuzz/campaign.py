"""The counts of docs/hardening.md: `python -m tests.fuzz.campaign [mutations] [seed] [--random]`.

Every truncation, every flipped bit and every other value of every byte of the tiny valid files, then
random mutations of them, then the hungriest and slowest inputs known, each in a process of its own. With
`--random` the mutations alone. An input that breaks the promise is kept in the working folder, and the exit
code is 1; the slowest and the hungriest are told by number, and kept where they come near the limits.
"""

from __future__ import annotations

import hashlib
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from aecodec.container import MAX_PIXELS, Box, Container, LearnedHeader, serialise
from aecodec.encoder.options import TUNED
from aecodec.entropy.coder import Latents
from aecodec.entropy.hyperprior import hyper_steps, scale_indices
from aecodec.model.registry import model_named
from aecodec.model.tiling import cell_grid
from aecodec.picture.lossless import LOSSLESS_MAX_SIDE, write_pixels
from tests.common import run_python
from tests.fuzz.files import each_field_broken, each_field_of_another, mutated, sealed_again, seeds
from tests.fuzz.target import PICTURE, outcome

MUTATIONS, SEED = 10_000, 1
PATIENCE = 5  # seconds of this process that a refusal may take; those of others do not count
NOTED_SECONDS, NOTED_MEMORY = 2.5, 64  # half of that; MiB by which the peak grows, as no valid seed makes it
LIMIT_SIDE = int(MAX_PIXELS**0.5) // 32 * 32  # of the largest square that is read unless told otherwise

MEASURE = """
import re, sys, time
from tests.fuzz.target import outcome
from aecodec.container import MAX_PIXELS
data, began = open(sys.argv[1], "rb").read(), time.process_time()
came = outcome(data, MAX_PIXELS)
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024
print(f"{came}, {time.process_time() - began:.2f} s, {peak} MiB")
"""  # seconds of one core; peak resident memory, which Linux tells


def truncations(data: bytes) -> Iterator[bytes]:
    for length in range(len(data)):
        yield data[:length]


def truncations_sealed(data: bytes) -> Iterator[bytes]:
    """A file cut at every length, its checksum right."""
    for length in range(4, len(data)):
        yield sealed_again(data[:length])


def other_bytes(data: bytes) -> Iterator[bytes]:
    """A file with each byte, in turn, set to all values that it does not have; all flipped bits are there."""
    for place, byte in enumerate(data):
        for other in range(256):
            if other != byte:
                yield data[:place] + bytes([other]) + data[place + 1 :]


def broken_fields(files: dict[str, bytes]) -> Iterator[bytes]:
    for data in files.values():
        yield from (spoilt for _, spoilt in each_field_broken(data))
        for other in files.values():
            yield from (spoilt for _, spoilt in each_field_of_another(data, other))


def mutations(files: dict[str, bytes], count: int, seed: int) -> Iterator[bytes]:
    """Mutations of files taken in turn."""
    random, originals = Random(seed), list(files.values())
    for number in range(count):
        yield mutated(random, originals[number % len(originals)])


def peak_memory() -> int:
    """MiB, of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def keep(data: bytes, why: str) -> None:
    """An input as a file in the working folder, named by what it did."""
    Path(f"{why}-{hashlib.sha256(data).hexdigest()[:8]}.aec").write_bytes(data)


def try_all(what: str, inputs: Iterable[bytes]) -> Counter[str]:
    """What came of inputs, counted and printed; bugs are kept as files and counted as `crash` or `hang`."""
    counts: Counter[str] = Counter()
    slowest, slowest_number, peak = 0.0, 0, peak_memory()
    for number, data in enumerate(inputs):
        began = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, PATIENCE)
        try:
            came = outcome(data)
        except (Exception, Hang) as error:
            came = "hang" if isinstance(error, Hang) else "crash"
            keep(data, came)
            traceback.print_exc()
        signal.setitimer(signal.ITIMER_PROF, 0)
        counts[came] += 1
        seconds, memory = time.process_time() - began, peak_memory()
        if seconds > slowest:
            slowest, slowest_number = seconds, number
        if seconds > NOTED_SECONDS or memory > peak + NOTED_MEMORY:
            keep(data, f"noted-{came}")
            print(f"{what} {number}: {came}, {seconds:.2f} s, peak {peak} -> {memory} MiB", flush=True)
        peak = memory
    about = f"slowest {slowest * 1000:.0f} ms (number {slowest_number}), peak so far {peak} MiB"
    print(f"{what}: {counts.total()} inputs, {about}")
    print("   ", ", ".join(f"{name} {count}" for name, count in counts.most_common()), flush=True)
    return counts


def quiet_latents(side: int) -> tuple[Latents, int]:
    """The latents of a square picture that take the fewest bytes, and their cdf_set."""
    model = model_named(TUNED["psnr"])
    tables, quality = model.tables, 0
    cdf_set = int(tables.z_bits.min((1, 2)).argmin())
    z = np.zeros((tables.z_channels, *cell_grid(side, side)), np.int32)
    span, likeliest = tables.z_high - tables.z_low, tables.z_frequencies[cdf_set].argmax(1)
    for step in hyper_steps(tables, z, quality):
        values = likeliest[step.context] + step.origin - span
        z[step.channel].reshape(-1)[step.places] = np.clip(values, tables.z_low, tables.z_high)
    index = scale_indices(tables, z, quality)
    return Latents(z, np.zeros(index.shape, np.int16), index, quality), cdf_set


def bomb(side: int, sound: bool) -> bytes:
    """The smallest file of a large square picture; unless it is sound, only its last bits tell."""
    latents, cdf_set = quiet_latents(side)
    model = model_named(TUNED["psnr"])
    payload = model.coder.encode(latents, cdf_set)
    header = LearnedHeader(model.fingerprint, latents.quality, cdf_set)
    return serialise(Container(side, side, False, payload if sound else payload[4:], header))


def plain(side: int) -> bytes:
    """A lossless WebP of a square of one colour."""
    return write_pixels(np.zeros((side, side, 3), np.uint8))


def claiming(payload: bytes, side: int, alpha: bytes | None = None) -> bytes:
    """A learned file, or a lossless one for a WebP, that claims to be a large square."""
    model = model_named(TUNED["psnr"])
    header = None if payload[:4] == b"RIFF" else LearnedHeader(model.fingerprint, 50, 0)
    boxes = {} if alpha is None else {Box.ALPHA: alpha}
    return serialise(Container(side, side, False, payload, header, boxes))


def claims() -> Iterator[tuple[str, bytes]]:
    """Small files that claim much, all of which are refused."""
    dot, huge = plain(1), LOSSLESS_MAX_SIDE
    claim = (huge - 1 | huge - 1 << 14).to_bytes(4, "little")
    canvas = b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xfe\xff\x00" * 2
    noise = np.random.default_rng(SEED).bytes(400_000)
    yield "learned, claims 13376 x 13376, 8 bytes of payload", claiming(noise[:8], LIMIT_SIDE)
    yield "learned, the same with 400 kB of noise", claiming(noise, LIMIT_SIDE)
    yield "lossless, WebP of 1 x 1 claims 16383 x 16383", claiming(dot[:21] + claim + dot[25:], 1)
    yield "lossless, WebP with a canvas of 65279 x 65279", claiming(canvas, 1)
    yield "learned, 1 x 1, alpha that claims 16383 x 16383", claiming(b"", 1, dot[:21] + claim + dot[25:])
    yield "lossless, WebP that claims 8192 x 8192, cut", claiming(plain(8192)[:30], 8192)


def bombs() -> Iterator[tuple[str, bytes]]:
    """Small files of large pictures, and such as show only at their end that they are damaged."""
    yield "lossless, 8192 x 8192 of one colour, sound", claiming(plain(8192), 8192)
    for side in (1024, 4096, LIMIT_SIDE):
        yield f"learned, {side} x {side} of the fewest bytes, wrong at its very end", bomb(side, False)
    for side in (1024, 4096):
        yield f"learned, {side} x {side} of the fewest bytes, sound", bomb(side, True)


class Hang(BaseException):
    """No Exception, which would pass for a refusal."""


def raise_hang(*_: Any) -> None:
    raise Hang(f"not done after {PATIENCE} s")


def exhaust(files: dict[str, bytes]) -> Counter[str]:
    """What came of all damage that is tried without chance; undetected damage counts as a crash."""
    print("files:", ", ".join(f"{name} {len(data)} bytes" for name, data in files.items()))
    small = [data for data in files.values() if len(data) < 2000]  # bytes
    cut = try_all("truncations", (cut for data in files.values() for cut in truncations(data)))
    changed = try_all("every other value of every byte", (one for data in small for one in other_bytes(data)))
    undetected = cut[PICTURE] + changed[PICTURE]
    print(f"undetected: {cut[PICTURE]} truncations, {changed[PICTURE]} changed bytes")
    sealed = (cut for data in files.values() for cut in truncations_sealed(data))
    counts = cut + changed + try_all("truncations, checksum right", sealed)
    return counts + try_all("each field broken", broken_fields(files)) + Counter(crash=undetected)


def measure(inputs: Iterable[tuple[str, bytes]]) -> None:
    """What comes of inputs, each in a process of its own, with its seconds and its peak of memory."""
    for name, data in inputs:
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).write_bytes(data)
            print(f"{name}, {len(data)} bytes: {run_python(MEASURE, file.name).strip()}", flush=True)


def main() -> None:
    arguments = [one for one in sys.argv[1:] if one != "--random"]
    count, seed = map(int, arguments + [str(MUTATIONS), str(SEED)][len(arguments) :])
    alone = "--random" in sys.argv
    signal.signal(signal.SIGPROF, raise_hang)
    files = seeds()
    counts = Counter() if alone else exhaust(files)
    counts += try_all(f"random mutations of seed {seed}", mutations(files, count, seed))
    if not alone:
        measure(chain(claims(), bombs()))
    print(f"{counts.total()} inputs, {counts['crash']} crashes, {counts['hang']} hangs")
    sys.exit(bool(counts["crash"] or counts["hang"]))


if __name__ == "__main__":
    main()
