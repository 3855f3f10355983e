"""The container is as specified, byte for byte, and every way to break it has an error of its own."""

from __future__ import annotations

import io
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aecodec.container import (
    ANY_SIZE,
    MAGIC,
    MAX_PIXELS,
    MAX_SIDE,
    QUALITY_UNITS,
    SKIPPABLE,
    Box,
    Container,
    LearnedHeader,
    Stages,
    parse,
    read_file,
    serialise,
)
from aecodec.errors import (
    BitstreamError,
    ChecksumError,
    LimitError,
    NotAecodecError,
    TrailingDataError,
    TruncatedError,
    VersionError,
)
from aecodec.fields import Reader, write_varint
from tests.common import sealed

LOSSLESS, LEARNED, GRAY_WITH_BOXES = b"\x11", b"\x10", b"\x1c"
CODED = bytes.fromhex("deadbeef a113 07")  # fingerprint, quality 50.25, CDF set
EMPTY_PAYLOAD = b"\0"

CONTENTS = sorted(set(Box) - {Box.STAGES, Box.CLIPPING})  # boxes of any bytes of any picture
SKIPPED = sorted(set(range(SKIPPABLE, 256)) - set(Box))  # types of boxes that a later release may write

SMALL = Container(
    300,
    1,
    True,
    b"\x01\x02\x03\x04",
    LearnedHeader(b"\xde\xad\xbe\xef", 50.25, 7),
    {Box.EXIF: b"hi", Box.ALPHA: b""},
)
SMALL_FILE = bytes.fromhex(
    "ae430d0a"  # magic
    "1c"  # version 1, boxes, gray, learned
    "ac02 01"  # 300 x 1
    "deadbeef a113 07"  # fingerprint, quality 50.25, CDF set 7
    "02 02 02 6869 04 00"  # two boxes: EXIF of 2 bytes, alpha of none
    "04 01020304"  # payload
    "b800e3c4"  # CRC-32
)
LOSSLESS_FILE = bytes.fromhex("ae430d0a 11 03 02 03 616263 14e6a338")


@st.composite
def stages(draw: st.DrawFn, after_it: bool) -> Stages:
    """Any stages; those that change pixels only where there may be stages after the coding."""
    fingerprint = st.binary(min_size=4, max_size=4) if after_it else st.just(b"")
    upscale = draw(st.just(b"") | fingerprint)
    unknown = draw(st.dictionaries(st.integers(128, 255), st.binary(max_size=20), max_size=3))
    return Stages(
        draw(st.integers(0, 255)),
        draw(st.just(b"") | fingerprint),
        upscale,
        draw(st.integers(2, 4)) if upscale else 1,
        tuple(sorted(unknown.items())),
    )


@st.composite
def containers(draw: st.DrawFn) -> Container:
    width = draw(st.integers(1, MAX_SIDE))
    height = draw(st.integers(1, min(MAX_SIDE, MAX_PIXELS // width)))
    fingerprint = st.binary(min_size=4, max_size=4)
    gray = draw(st.booleans())
    gray_as_rgb = st.booleans() if gray else st.just(False)
    learned = draw(
        st.none()
        | st.builds(
            LearnedHeader,
            fingerprint,
            st.integers(0, 10000).map(lambda hundredths: hundredths / QUALITY_UNITS),
            st.integers(0, 255),
            gray_as_rgb,
        )
    )
    return Container(
        width,
        height,
        gray,
        draw(st.binary(max_size=300)),
        learned,
        draw(st.dictionaries(st.sampled_from(CONTENTS), st.binary(max_size=200))),
        draw(stages(after_it=learned is not None)),
        draw(st.dictionaries(st.sampled_from(SKIPPED), st.binary(max_size=20))),
        tiled=learned is None and draw(st.booleans()),
    )


@settings(max_examples=200)
@given(containers())
def test_round_trip(container: Container) -> None:
    assert parse(serialise(container), ANY_SIZE) == container


def test_golden_bytes_of_a_learned_container() -> None:
    assert serialise(SMALL) == SMALL_FILE
    assert parse(SMALL_FILE) == SMALL


def test_golden_bytes_of_a_lossless_container() -> None:
    container = Container(3, 2, False, b"abc")
    assert serialise(container) == LOSSLESS_FILE
    assert parse(LOSSLESS_FILE) == container


def test_golden_bytes_of_tiles_and_of_gray_shown_as_rgb() -> None:
    assert serialise(Container(3, 2, False, b"abc", tiled=True))[4:11] == bytes.fromhex("12 03 02 03 616263")
    learned = LearnedHeader(b"\xde\xad\xbe\xef", 50.25, 7, gray_as_rgb=True)
    assert serialise(Container(3, 2, True, b"", learned))[4:14] == bytes.fromhex("14 03 02 deadbeef a153 07")


@pytest.mark.parametrize(("payload", "cost"), [(127, 21), (128, 22), (16383, 22), (16384, 23)])
def test_fixed_cost_of_a_photograph(payload: int, cost: int) -> None:
    container = Container(768, 512, False, bytes(payload), LearnedHeader(b"abcd", 50, 3))
    assert len(serialise(container)) - payload == cost <= 24


@given(st.integers(0, 2**35 - 1) | st.integers(0, 35).map(lambda bits: 2**bits - 1))
def test_varint_round_trip_in_its_shortest_form(value: int) -> None:
    data = write_varint(value)
    assert len(data) == max(1, -(-value.bit_length() // 7))
    assert Reader(data).varint("value") == value


@pytest.mark.parametrize("value", [-1, 2**35])
def test_varint_refuses_what_does_not_fit(value: int) -> None:
    with pytest.raises(LimitError, match="does not fit"):
        write_varint(value)


@pytest.mark.parametrize("size", [(MAX_SIDE + 1, 1), (1, MAX_SIDE + 1), (2**28, 1), (0, 1), (1, 0)])
def test_sides_out_of_range_are_not_written(size: tuple[int, int]) -> None:
    with pytest.raises(LimitError):
        serialise(Container(*size, False, b""))


def test_boxes_that_may_be_skipped_are() -> None:
    boxes = b"\x02" + b"\x88\x03new" + b"\x01\x01i"
    container = parse(sealed(b"\x19\x01\x01", boxes, EMPTY_PAYLOAD))
    assert container.boxes == {Box.ICC: b"i"}
    assert container.unknown == {0x88: b"new"}


def test_there_may_be_as_many_boxes_as_skippable_types() -> None:
    container = Container(1, 1, False, b"", unknown={box_type: bytes([box_type]) for box_type in SKIPPED})
    assert parse(serialise(container)) == container


def test_order_of_boxes_does_not_matter() -> None:
    boxes = b"\x02" + b"\x03\x01x" + b"\x01\x01i"
    assert parse(sealed(b"\x19\x01\x01", boxes, EMPTY_PAYLOAD)).boxes == {Box.ICC: b"i", Box.XMP: b"x"}


MALFORMED = {
    "empty": (b"", NotAecodecError, "empty file"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(20), NotAecodecError, "not an aecodec file"),
    "text mode": (b"\xaeC\n" + SMALL_FILE[4:], NotAecodecError, "not an aecodec file"),
    "version 0": (sealed(b"\x01\x01\x01", EMPTY_PAYLOAD), VersionError, "version 0 is unknown"),
    "version 2": (sealed(b"\x21\x01\x01", EMPTY_PAYLOAD), VersionError, "version 2 is unknown"),
    "coding 3": (sealed(b"\x13\x01\x01", EMPTY_PAYLOAD), VersionError, "coding 3 is unknown"),
    "trailing byte": (SMALL_FILE + b"\0", TrailingDataError, "1 bytes follow"),
    "two files": (SMALL_FILE * 2, TrailingDataError, f"{len(SMALL_FILE)} bytes follow"),
    "checksum": (SMALL_FILE[:-1] + bytes([SMALL_FILE[-1] ^ 1]), ChecksumError, "checksum does not match"),
    "zero width": (sealed(LOSSLESS, b"\x00\x01", EMPTY_PAYLOAD), LimitError, "size 0x1 is out of range"),
    "zero height": (sealed(LOSSLESS, b"\x01\x00", EMPTY_PAYLOAD), LimitError, "size 1x0 is out of range"),
    "wide": (sealed(LOSSLESS, b"\x80\x80\x80\x08\x01", EMPTY_PAYLOAD), LimitError, "16777216x1 is out of"),
    "tall": (sealed(LOSSLESS, b"\x01\x80\x80\x80\x08", EMPTY_PAYLOAD), LimitError, "1x16777216 is out of"),
    "pixels": (sealed(LOSSLESS, b"\xff\xff\xff\x07" * 2, EMPTY_PAYLOAD), LimitError, "over the limit"),
    "long side": (sealed(LOSSLESS, b"\x80\x80\x80\x80\x01\x01"), LimitError, "width is longer than 4"),
    "long other side": (sealed(LOSSLESS, b"\x01" + b"\x80" * 4), LimitError, "height is longer than 4"),
    "long length": (sealed(LOSSLESS, b"\x01\x01" + b"\x80" * 5), LimitError, "length is longer than 5"),
    "long length of a box": (
        sealed(b"\x19\x01\x01", b"\x01\x01" + b"\xff" * 5),
        LimitError,
        "box length is longer than 5",
    ),
    "padded varint": (
        sealed(LOSSLESS, b"\x81\x00\x01", EMPTY_PAYLOAD),
        LimitError,
        "width is not in its short",
    ),
    "padded length": (sealed(LOSSLESS, b"\x01\x01\x80\x00"), LimitError, "payload's length is not in its sh"),
    "quality": (
        sealed(LEARNED, b"\x01\x01", b"abcd\x11\x27\0", EMPTY_PAYLOAD),
        LimitError,
        "quality 100.01 is over 100",
    ),
    "gray shown as RGB that is not gray": (
        sealed(LEARNED, b"\x01\x01", b"abcd\x10\x67\0", EMPTY_PAYLOAD),
        LimitError,
        "a picture that is not gray is marked as gray shown as RGB",
    ),
    "extended learned header": (
        sealed(LEARNED, b"\x01\x01", b"abcd\x10\xa7\0", b"\x02hi", EMPTY_PAYLOAD),
        VersionError,
        "the learned header is extended: the file is of a later release",
    ),
    "white of a lossless picture": (
        sealed(b"\x19\x01\x01", b"\x01\x08\x02\x42\x00", EMPTY_PAYLOAD),
        LimitError,
        "a lossless picture has white and black of its own",
    ),
    "no boxes": (sealed(b"\x19\x01\x01", b"\x00", EMPTY_PAYLOAD), LimitError, "0 boxes are out of range"),
    "16 boxes of which one is there": (
        sealed(b"\x19\x01\x01", b"\x10\x81\x00"),
        TruncatedError,
        "too early, within the box",
    ),
    "box 0": (sealed(b"\x19\x01\x01", b"\x01\x00\x00", EMPTY_PAYLOAD), LimitError, "box type 0 is unknown"),
    "box 6": (sealed(b"\x19\x01\x01", b"\x01\x06\x00", EMPTY_PAYLOAD), LimitError, "box type 6 is unknown"),
    "unknown box again": (
        sealed(b"\x19\x01\x01", b"\x02\x88\x00\x88\x00", EMPTY_PAYLOAD),
        LimitError,
        "box type 136 is repeated",
    ),
    "no stages": (sealed(b"\x19\x01\x01", b"\x01\x05\x00", EMPTY_PAYLOAD), LimitError, "the stages are not"),
    "box again": (
        sealed(b"\x19\x01\x01", b"\x02\x01\x00\x01\x00", EMPTY_PAYLOAD),
        LimitError,
        "box type 1 is repeated",
    ),
    "box length": (
        sealed(b"\x19\x01\x01", b"\x01\x01\xff\xff\xff\xff\x7f", EMPTY_PAYLOAD),
        TruncatedError,
        "too early, within the box",
    ),
    "payload length": (
        sealed(LOSSLESS, b"\x01\x01", b"\xff\xff\xff\xff\x7f"),
        TruncatedError,
        "too early, within the payload",
    ),
}


@pytest.mark.parametrize(("data", "error", "message"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed(data: bytes, error: type[BitstreamError], message: str) -> None:
    with pytest.raises(BitstreamError, match=message) as caught:
        parse(data)
    assert caught.type is error


@pytest.mark.parametrize("data", [SMALL_FILE, LOSSLESS_FILE])
def test_truncated_at_every_length(data: bytes) -> None:
    for length in range(1, len(data)):
        with pytest.raises(TruncatedError, match="get a complete copy"):
            parse(data[:length])


@pytest.mark.parametrize("data", [SMALL_FILE, LOSSLESS_FILE])
def test_every_flipped_bit_is_noticed(data: bytes) -> None:
    bits = int.from_bytes(data, "big")
    for bit in range(8 * len(data)):
        with pytest.raises(BitstreamError):
            parse((bits ^ 1 << bit).to_bytes(len(data), "big"))


def test_pixel_limit_is_the_readers() -> None:
    data = serialise(Container(20, 30, False, b""))
    assert parse(data, max_pixels=600).width == 20
    with pytest.raises(LimitError, match="over the limit of 599 pixels"):
        parse(data, max_pixels=599)


def test_pixel_limit_is_pillows_unless_told_otherwise() -> None:
    assert Image.MAX_IMAGE_PIXELS
    assert MAX_PIXELS == 2 * Image.MAX_IMAGE_PIXELS  # where it raises DecompressionBombError


@settings(max_examples=300)
@given(st.sampled_from([LOSSLESS, LEARNED, b"\x19", GRAY_WITH_BOXES]), st.binary(max_size=60))
def test_arbitrary_fields_parse_or_raise_a_bitstream_error(first: bytes, fields: bytes) -> None:
    with suppress(BitstreamError):
        container = parse(sealed(first, fields))
        assert parse(serialise(container)) == container


@settings(max_examples=100)
@given(containers(), st.binary(max_size=50))
def test_of_a_stream_a_file_is_read_whole_and_no_more_than_shows_that_more_follows(
    container: Container, rest: bytes
) -> None:
    data = serialise(container) + rest
    assert read_file(io.BytesIO(data)) == data
    assert read_file(OneByteAtATime(data)) == data


class OneByteAtATime(io.BytesIO):
    """A stream that gives less than it is asked for, as pipes do."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(0 if size == 0 else 1)


def test_magic_is_no_text() -> None:
    assert MAGIC[0] > 127
    assert MAGIC.endswith(b"\r\n")
