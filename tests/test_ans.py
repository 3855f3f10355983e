"""Our own ANS coder writes and reads the bytes of `constriction`.

All 1000 random streams of the release check, in about half a minute:
python -c "from tests.test_ans import compare; print(sum(compare(seed) for seed in range(1000)))"
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import aecodec
from aecodec.container import parse
from aecodec.entropy.ans import Ans, PythonAns, cumulative_frequencies, installed_ans
from aecodec.entropy.coder import Coder
from aecodec.errors import BitstreamError, ModelError
from aecodec.model.registry import list_models, load_model, model_named, model_with
from aecodec.model.tiling import cell_grid
from tests.common import random_latents, run_python
from tests.portability import GOLDEN, latents_of

STREAMS = 60  # which take about two seconds
LEARNED = [path for path in sorted(GOLDEN.glob("*.aec")) if parse(path.read_bytes()).learned]
OWN = PythonAns()
Counts = NDArray[np.uint32]
Group = tuple[int | None, NDArray[np.int32]]  # number of a table, or None for uniform; codes


@cache
def constriction_ans() -> Ans:
    pytest.importorskip("constriction")
    return installed_ans()


def random_counts(random: np.random.Generator) -> Counts:
    """A table as flat, as steep or as long as tables can be."""
    size = int(random.integers(2, random.choice([3, 20, 500, 3000])))
    counts = [
        np.ones(size),
        random.integers(1, 2**27, size),  # of which 3000 stay below the limit of a total
        1 + np.floor(2 ** (27 * random.random(size))),
        1 + random.geometric(0.01, size),
    ][random.integers(4)]
    return counts.astype(np.uint32)


def random_groups(random: np.random.Generator, tables: list[Counts]) -> list[Group]:
    """Groups of codes that are as likely as their table says, or all as likely."""
    groups: list[Group] = []
    for _ in range(random.integers(1, 8)):
        number, length = int(random.integers(len(tables))), int(random.integers(200))
        shares = tables[number] / tables[number].sum(dtype=np.float64)
        likely = random.choice(len(shares), length, p=shares)
        any_code = random.integers(0, len(shares), length)
        any_value = random.integers(0, 2**16, length)
        kinds = [(number, likely), (number, any_code), (None, any_value)]
        table, codes = kinds[random.integers(3)]
        groups.append((table, codes.astype(np.int32)))
    return groups


def write(ans: Ans, tables: list[Counts], groups: list[Group]) -> NDArray[np.uint32]:
    """The words of groups."""
    stack, models = ans.stack(), [ans.categorical(counts) for counts in tables]
    for number, codes in reversed(groups):
        stack.encode_reverse(codes, ans.uniform(2**16) if number is None else models[number])
    return stack.get_compressed()


def read(ans: Ans, tables: list[Counts], groups: list[Group], words: NDArray[np.uint32]) -> list[int]:
    """The codes of groups of such lengths, then what is left: whether there is anything, and its words."""
    stack, models, symbols = ans.stack(words), [ans.categorical(counts) for counts in tables], []
    for number, codes in groups:
        model = ans.uniform(2**16) if number is None else models[number]
        symbols += stack.decode(model, len(codes)).tolist()
    return [*symbols, int(stack.is_empty()), *stack.get_compressed().tolist()]


def compare(seed: int) -> bool:
    """Whether a random stream, and random words, are the same to both coders, and the stream is read back."""
    random = np.random.default_rng(seed)
    tables = [random_counts(random) for _ in range(random.integers(1, 6))]
    groups = random_groups(random, tables)
    words = write(OWN, tables, groups)
    noise = random.integers(1, 2**32, random.integers(1, 60)).astype(np.uint32)
    sent = [code for _, codes in groups for code in codes.tolist()]
    return (
        np.array_equal(words, write(constriction_ans(), tables, groups))
        and read(OWN, tables, groups, words) == [*sent, 1]
        and all(
            read(OWN, tables, groups, stream) == read(constriction_ans(), tables, groups, stream)
            for stream in (words, noise)
        )
    )


@pytest.mark.parametrize("seed", range(STREAMS))
def test_streams_are_those_of_constriction(seed: int) -> None:
    assert compare(seed)


@pytest.mark.parametrize("ans", [PythonAns, constriction_ans])
def test_words_of_a_stream_never_change(ans: Callable[[], Ans]) -> None:
    counts = np.array([1, 5, 90, 3], np.uint32)
    codes = np.array([2, 2, 1, 2, 0, 3, 2, 2], np.int32)
    words = write(ans(), [counts], [(0, codes), (None, np.array([7, 65535], np.int32))])
    assert [hex(word) for word in words] == ["0x48ed8c07", "0x196f072"]


@pytest.mark.parametrize("path", LEARNED, ids=lambda path: path.stem)
def test_golden_files(path: Path) -> None:
    container = parse(path.read_bytes())
    learned, size = container.learned, cell_grid(*container.coded_size)
    coder = Coder(model_with(learned.fingerprint).tables, OWN)
    latents = coder.decode(container.payload, size, learned.quality, learned.cdf_set)
    expected = latents_of(container)
    np.testing.assert_array_equal(latents.z, expected.z)
    np.testing.assert_array_equal(latents.symbols, expected.symbols)
    assert coder.encode(latents, learned.cdf_set) == container.payload


@pytest.mark.parametrize("size", [(1, 1), (3, 4)])
def test_latents_with_escapes(size: tuple[int, int]) -> None:
    tables = model_named("base").tables
    latents = random_latents(tables, size, 70, 3)
    stream = Coder(tables, OWN).encode(latents, 1)
    assert stream == Coder(tables, constriction_ans()).encode(latents, 1)
    np.testing.assert_array_equal(Coder(tables, OWN).decode(stream, size, 70, 1).symbols, latents.symbols)


def test_damaged_streams_are_refused_alike() -> None:
    tables = model_named("base").tables
    stream = Coder(tables, OWN).encode(random_latents(tables, (2, 2), 50, 7), 0)
    for damaged in (stream + bytes(4), stream[4:], stream[:-4], bytes(range(1, 9)) + stream, stream[::-1]):
        messages = []
        for ans in (OWN, constriction_ans()):
            with pytest.raises(BitstreamError) as caught:
                Coder(tables, ans).decode(damaged, (2, 2), 50, 0)
            messages.append(str(caught.value).partition("(")[0])
        assert messages[0] == messages[1]


@pytest.mark.parametrize("directory", list_models(), ids=lambda path: path.name)
def test_frequencies_of_models_fill_24_bits(directory: Path) -> None:
    tables = load_model(directory).tables
    every = [*tables.y_tables, *(counts for prior in tables.z_frequencies for counts in prior)]
    for counts in every:
        cumulative = cumulative_frequencies(counts)
        assert (cumulative[0], cumulative[-1]) == (0, 2**24)
        assert np.diff(cumulative).min() >= 1


@pytest.mark.parametrize("code", [-1, 4])
def test_codes_beyond_a_table_are_refused(code: int) -> None:
    model = OWN.categorical(np.array([1, 2, 3, 4], np.uint32))
    with pytest.raises(ValueError, match="not in the table"):
        OWN.stack().encode_reverse(np.array([code], np.int32), model)


def test_without_constriction_the_own_coder_does_all() -> None:
    """As where pip installed none: files are the same, and are read."""
    picture = "Image.linear_gradient('L').convert('RGB').crop((0, 0, 70, 50))"
    made = f"from PIL import Image; import aecodec; data = aecodec.compress({picture}, quality=40, effort=1)"
    report = (
        "print(type(aecodec.entropy.ans.installed_ans()).__name__, aecodec.decompress(data).size, data.hex())"
    )
    lacking = run_python(f"import sys; sys.modules['constriction'] = None; {made}; {report}").split()
    usual = run_python(f"{made}; {report}").split()
    assert lacking[0] == "PythonAns"
    assert usual[0] == type(installed_ans()).__name__
    assert lacking[1:] == usual[1:]


def test_constriction_is_not_imported_before_it_is_needed() -> None:
    script = "import sys, aecodec.entropy.coder; print('constriction' in sys.modules)"
    assert run_python(script).strip() == "False"
    assert aecodec.info(LEARNED[0].read_bytes()).coding == "learned"


def code_at(place: int, model: object, ans: Ans) -> int:
    """The code that a state popped has whose lowest 24 bits are `place`."""
    return int(ans.stack(np.array([place, 2**8], np.uint32)).decode(model, 1)[0])


@pytest.mark.parametrize("size", [2, 3, 7, 16, 31])
@pytest.mark.parametrize(("first", "total"), [(55, 110), (25, 235), (61, 122), (1000003, 3000009), (3, 99)])
def test_intervals_begin_where_those_of_constriction_do(size: int, first: int, total: int) -> None:
    """Also where the product that is rounded down is an integer, or next to one."""
    counts = np.ones(size, np.uint32)
    counts[0], counts[-1] = first, total - first - (size - 2)
    cumulative, model = cumulative_frequencies(counts).tolist(), constriction_ans().categorical(counts)
    for code, start in enumerate(cumulative[:-1]):
        assert code_at(start, model, constriction_ans()) == code
        if code:
            assert code_at(start - 1, model, constriction_ans()) == code - 1
    assert code_at(2**24 - 1, model, constriction_ans()) == size - 1


@pytest.mark.parametrize("directory", list_models(), ids=lambda path: path.name)
def test_frequencies_of_models_are_those_of_constriction_alone(directory: Path) -> None:
    """As files of 0.1 were written: from counts in its own floats. Codes pushed show where intervals are."""
    constriction = pytest.importorskip("constriction")
    tables = load_model(directory).tables
    every = [*tables.y_tables, *(z for cdf_set in tables.z_frequencies for z in cdf_set)]
    for counts in every:
        stack, codes = constriction.stream.stack.AnsCoder(), np.arange(len(counts), dtype=np.int32)
        floats = counts.astype(np.float64)
        stack.encode_reverse(codes, constriction.stream.model.Categorical(floats, perfect=False))
        np.testing.assert_array_equal(write(OWN, [counts], [(0, codes)]), stack.get_compressed())


@pytest.mark.parametrize(("first", "total"), [(55, 110), (25, 235)])
def test_frequencies_are_rounded_down_exactly(first: int, total: int) -> None:
    """Floats, as constriction's own of these counts, give one less."""
    assert (2**24 - 2) * first % total == 0
    exact = 1 + (2**24 - 2) * first // total
    counts = np.array([first, total - first], np.uint32)
    assert cumulative_frequencies(counts).tolist() == [0, exact, 2**24]
    for ans in (OWN, constriction_ans()):
        assert code_at(exact, ans.categorical(counts), ans) == 1
        assert code_at(exact - 1, ans.categorical(counts), ans) == 0


def test_counts_may_sum_to_what_64_bits_allow() -> None:
    counts = np.full(128, 2**32 - 1, np.uint32)
    frequencies = cumulative_frequencies(counts)
    assert frequencies.tolist() == [k + k * (2**24 - 128) // 128 for k in range(129)]
    with pytest.raises(ModelError, match="counts of a table sum to 554050781055"):
        cumulative_frequencies(np.full(129, 2**32 - 1, np.uint32))
