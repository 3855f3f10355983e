"""The box of text is as specified, byte for byte, and a malformed one is refused with a sentence."""

from __future__ import annotations

import zlib
from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from aecodec.picture import photoshop, text
from aecodec.picture.text import Text, TextChunk

BOX = b"\0" + b"\1\x0bk\0de\0s\0\xc3\xbc x" + b"\2\2hi" + b"\3\1i" + b"\4\5\xac\x02\x96\x01\1"
FULL = Text((TextChunk("k", "ü x", "de", "s"),), b"hi", b"i", (Fraction(300), Fraction(150)))

plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
keywords = st.text(st.sampled_from("abc é~"), min_size=1, max_size=79)
fractions = st.fractions(Fraction(1, 100), 2000, max_denominator=300)
texts = st.builds(
    Text,
    st.lists(st.builds(TextChunk, keywords, plain, plain, plain), unique_by=lambda one: one.keyword).map(
        tuple
    ),
    st.binary(max_size=20),
    st.binary(max_size=20),
    st.none() | st.tuples(fractions, fractions),
)


def test_golden_bytes() -> None:
    assert text.pack(FULL) == BOX
    assert text.unpack(BOX) == (FULL, ())
    assert text.unpack(b"\1" + zlib.compress(BOX[1:])) == (FULL, ())
    assert text.pack(Text()) == b""


@given(texts)
def test_round_trip(value: Text) -> None:
    if box := text.pack(value):
        assert text.unpack(box) == (value, ())
    else:
        assert value == Text()


def test_long_text_is_compressed() -> None:
    value = Text((TextChunk("workflow", "node " * 10_000),))
    assert len(text.pack(value)) < 300
    assert text.unpack(text.pack(value)) == (value, ())


@given(st.sampled_from([b"", b"\0", b"\1", BOX]), st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(start: bytes, rest: bytes) -> None:
    with suppress(ValueError):
        value, notes = text.unpack(start + rest)
        assert notes or not value.chunks or text.unpack(text.pack(value))[0] == value


@pytest.mark.parametrize("length", range(len(BOX)))
def test_truncated_at_every_length(length: int) -> None:
    with suppress(ValueError):
        assert text.unpack(BOX[:length])[0] != FULL


MALFORMED = {
    "nothing": (b"", "method is unknown"),
    "method": (b"\2", "method is unknown"),
    "zlib": (b"\1junk", "Error -3"),
    "cut zlib": (b"\1" + zlib.compress(BOX)[:-3], "cut short"),
    "more than zlib": (b"\1" + zlib.compress(BOX[1:]) + b"x", "followed by something"),
    "bomb": (b"\1" + zlib.compress(bytes(2**26 + 1)), "over 67108864 bytes"),
    "length": (b"\0\2\x09hi", "file ends too early, within the text"),
    "no keyword": (b"\0\1\4\0\0\0x", "keyword '' is none"),
    "long keyword": (b"\0\1\x53" + b"k" * 80 + b"\0\0\0", "is none"),
    "keyword not of Latin-1": (b"\0\1\6\xd0\xba\0\0\0x", "keyword 'к' is none"),
    "no language": (b"\0\1\3k\0x", "lacks its keyword"),
    "not UTF-8": (b"\0\1\5k\0\0\0\xff", "utf-8"),
    "keyword twice": (b"\0" + b"\1\4k\0\0\0" * 2, "a keyword is repeated"),
    "comment twice": (b"\0" + b"\2\1x" * 2, "entry 2 is empty or repeated"),
    "empty IPTC": (b"\0\3\0", "entry 3 is empty or repeated"),
    "resolution of 0": (b"\0\4\3\0\1\1", "its resolution is none"),
    "short resolution": (b"\0\4\2\1\1", "within the resolution"),
    "long resolution": (b"\0\4\4\1\1\1\1", "its resolution is none"),
}


@pytest.mark.parametrize(("box", "message"), MALFORMED.values(), ids=MALFORMED)
def test_malformed(box: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        text.unpack(box)


def test_entries_of_later_releases_are_passed_over_with_a_note() -> None:
    note = "its text has entries of types 9, of a later release: left out"
    assert text.unpack(b"\0\x09\3new\2\2hi") == (Text(comment=b"hi"), (note,))


@pytest.mark.parametrize(
    ("dpi", "kept"),
    [
        ((300, 300), (300, 300)),
        ((11811 * 0.0254, 2835 * 0.0254), (Fraction(11811 * 127, 5000), Fraction(2835 * 127, 5000))),
        ((1e6, 72), (1_000_000, 72)),
        ((1e12, 72), None),
        ((0, 0), None),
        ((float("nan"), 1), None),
        (("a", "b"), None),
        ("300", None),
        ((1, 1), None),
    ],
)
def test_resolutions(dpi: object, kept: object) -> None:
    image = Image.new("L", (4, 4))
    image.info["dpi"] = dpi
    assert text.dpi_of(image) == kept


def test_resources_of_photoshop() -> None:
    block = photoshop.resource(5, b"odd") + photoshop.resource(photoshop.IPTC, b"even")
    assert photoshop.resources(block) == {5: b"odd", photoshop.IPTC: b"even"}
    for length in range(len(block)):
        photoshop.resources(block[:length])
    assert photoshop.iptc_of_text(photoshop.text_of_iptc(b"x" * 100)) == b"x" * 100
    assert photoshop.iptc_of_text("\n\n\nnone") is None
