"""Makes an input of an ONNX graph a constant, without a dependency that reads such graphs.

An engine that knows a value when it loads a graph computes all that follows from it once, and folds gains
into convolutions. Reads and writes as much of Protocol Buffers' wire format as that needs: a message is a
row of fields, each a key (number * 8 + type) and a value.

Source: https://protobuf.dev/programming-guides/encoding and `onnx.proto` of ONNX 1.16.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from aecodec.errors import ModelError
from aecodec.fields import write_varint

GRAPH = 7  # of ModelProto
INITIALIZER, INPUT = 5, 11  # of GraphProto
VALUE_NAME = 1  # of ValueInfoProto
DIMENSIONS, DATA_TYPE, TENSOR_NAME, RAW_DATA = 1, 2, 8, 9  # of TensorProto
FLOAT = 1  # of TensorProto.DataType
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # types of fields
FIXED_SIZES = {FIXED64: 8, FIXED32: 4}


def with_constant(graph: bytes, name: str, value: float) -> bytes:
    """The model with its input `name`, a float of shape (1,), as a constant, if it has such an input.

    Raises ModelError for what is no model.
    """
    try:
        return b"".join(
            message(GRAPH, constant_inside(value_of, name, value)) if number == GRAPH else bytes(field)
            for number, field, value_of in fields(memoryview(graph))
        )
    except IndexError as error:
        raise ModelError("a network cannot be loaded: its file is cut off") from error


def constant_inside(graph: memoryview, name: str, value: float) -> bytes:
    """The GraphProto with its input as a constant, a tensor (1,)."""
    named = message(VALUE_NAME, name.encode())  # a field of the ValueInfoProto that declares the input
    kept = b"".join(
        field
        for number, field, content in fields(graph)
        if number != INPUT or all(part != named for _, part, _ in fields(content))
    )
    if len(kept) == len(graph):
        return kept
    shape = write_varint(8 * DIMENSIONS + VARINT) + write_varint(1)
    data_type = write_varint(8 * DATA_TYPE + VARINT) + write_varint(FLOAT)
    data = message(RAW_DATA, np.array(value, "<f4").tobytes())
    return kept + message(INITIALIZER, shape + data_type + message(TENSOR_NAME, name.encode()) + data)


def message(number: int, content: bytes) -> bytes:
    """A field of bytes."""
    return write_varint(8 * number + BYTES) + write_varint(len(content)) + content


def fields(data: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Number, bytes with the key, and content of each field of a message; raises IndexError where cut off."""
    place = 0
    while place < len(data):
        key, start = read_varint(data, place)
        if key % 8 == VARINT:
            _, end = read_varint(data, start)
        elif key % 8 == BYTES:
            size, start = read_varint(data, start)
            end = start + size
        else:
            end = start + FIXED_SIZES.get(key % 8, len(data) + 1)
        if end > len(data):
            raise IndexError(end)
        yield key // 8, data[place:end], data[start:end]
        place = end


def read_varint(data: memoryview, place: int) -> tuple[int, int]:
    """A number as `write_varint` writes it, and the place behind it."""
    value = shift = 0
    while data[place] & 0x80:
        value |= (data[place] & 0x7F) << shift
        place, shift = place + 1, shift + 7
    return value | data[place] << shift, place + 1
