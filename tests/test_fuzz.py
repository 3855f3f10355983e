"""Of whatever bytes comes a picture or a documented error; `tests.fuzz.campaign` tries far more of them."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aecodec
from aecodec import errors
from aecodec.container import Container, parse, serialise
from tests.common import run_python
from tests.fuzz.campaign import claims
from tests.fuzz.files import broken, each_field_broken, each_field_of_another, fields, mutated, seeds
from tests.fuzz.target import PICTURE, outcome

SEEDS = seeds()
CORPUS = sorted((Path(__file__).parent / "fuzz" / "corpus").iterdir())
OUTCOMES = {PICTURE, *(name for name in vars(errors) if name.endswith("Error"))}
CLAIMS = dict(claims())
pytestmark = pytest.mark.filterwarnings(  # of boxes that may be skipped, and of thumbnails
    "ignore:.*left out:UserWarning", "ignore:.*made anew:UserWarning"
)
MUTATIONS = 600  # of the 10 000 of docs/hardening.md


@pytest.mark.parametrize("name", SEEDS)
def test_seeds_are_sound(name: str) -> None:
    data = SEEDS[name]
    assert outcome(data) == PICTURE
    assert serialise(parse(data)) == data
    assert b"".join(piece for _, piece in fields(data)) == data[:-4]


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_corpus(path: Path) -> None:
    assert outcome(path.read_bytes()) == path.name.split("-")[0]


@pytest.mark.parametrize("name", SEEDS)
def test_truncated_at_every_length(name: str) -> None:
    data = SEEDS[name]
    for length in range(len(data)):
        with pytest.raises(aecodec.BitstreamError):
            aecodec.decompress(data[:length])


@pytest.mark.parametrize("name", SEEDS)
def test_every_flipped_bit_is_noticed(name: str) -> None:
    data = SEEDS[name]
    for place in range(len(data)):
        for bit in range(8):
            damaged = data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
            with pytest.raises(aecodec.BitstreamError):
                parse(damaged)


@pytest.mark.parametrize("name", ["dot", "photograph", "lossless"])
def test_every_other_value_of_every_byte_is_noticed(name: str) -> None:
    data = SEEDS[name]
    for place, byte in enumerate(data):
        for other in {*range(256)} - {byte}:
            with pytest.raises(aecodec.BitstreamError):
                parse(data[:place] + bytes([other]) + data[place + 1 :])


@pytest.mark.parametrize("name", SEEDS)
def test_each_field_broken(name: str) -> None:
    came = {outcome(spoilt) for _, spoilt in each_field_broken(SEEDS[name])}
    assert came <= OUTCOMES
    assert {"LimitError", "NotAecodecError", "TruncatedError", "VersionError"} <= came


@pytest.mark.parametrize("name", SEEDS)
def test_fields_of_other_files(name: str) -> None:
    swapped = [spoilt for other in SEEDS.values() for _, spoilt in each_field_of_another(SEEDS[name], other)]
    assert {outcome(spoilt) for spoilt in swapped} <= OUTCOMES


@pytest.mark.parametrize("name", SEEDS)
def test_a_payload_of_another_picture_is_refused(name: str) -> None:
    container = parse(SEEDS[name])
    for other in (SEEDS[key] for key in SEEDS if key != name):
        foreign = Container(
            container.width, container.height, False, parse(other).payload, container.learned, container.boxes
        )
        with pytest.raises(aecodec.BitstreamError):
            aecodec.decompress(serialise(foreign))


@settings(max_examples=200)
@given(st.sampled_from(sorted(SEEDS)), st.randoms(use_true_random=False))
def test_broken_fields(name: str, random: Random) -> None:
    assert outcome(broken(random, SEEDS[name])) in OUTCOMES


def test_mutations() -> None:
    random, originals = Random(0), list(SEEDS.values())
    came = [outcome(mutated(random, originals[n % len(originals)])) for n in range(MUTATIONS)]
    assert set(came) <= OUTCOMES
    assert {"BitstreamError", "ChecksumError", "LimitError", "TruncatedError", PICTURE} <= set(came)


REFUSE = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
from tests.fuzz.target import outcome
data, before = open(sys.argv[1], "rb").read(), resource.getrusage(resource.RUSAGE_SELF)
came = outcome(data, 2**30)
after = resource.getrusage(resource.RUSAGE_SELF)
print(came, after.ru_utime - before.ru_utime, (after.ru_maxrss - before.ru_maxrss) // 1024)
"""


@pytest.mark.parametrize("name", CLAIMS)
def test_what_claims_much_is_refused_in_little_time_and_memory(name: str, tmp_path: Path) -> None:
    path = tmp_path / "claims.aec"
    path.write_bytes(CLAIMS[name])
    came, seconds, mebibytes = run_python(REFUSE, str(path)).split()
    assert came in ("BitstreamError", "LimitError")
    assert float(seconds) < 5
    assert int(mebibytes) < 400
