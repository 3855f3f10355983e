"""Edits ONNX graphs without a dependency that reads them: inputs become constants, weights are shared.

An engine that knows a value when it loads a graph computes all that follows from it once, and folds gains
into convolutions. Weights that two graphs of a model share stand in one of their files: a tensor without data
has in its documentation "FILE:TENSOR", whose data it takes as the model is loaded.

Reads and writes as much of Protocol Buffers' wire format as that needs: a message is a row of fields, each a
key (number * 8 + type) and a value.

Source: https://protobuf.dev/programming-guides/encoding and `onnx.proto` of ONNX 1.16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from aecodec.errors import ModelError
from aecodec.fields import write_varint

GRAPH = 7  # of ModelProto
INITIALIZER, INPUT = 5, 11  # of GraphProto
VALUE_NAME = 1  # of ValueInfoProto
DIMENSIONS, DATA_TYPE, TENSOR_NAME, RAW_DATA, DOCUMENTATION = 1, 2, 8, 9, 12  # of TensorProto
FLOAT = 1  # of TensorProto.DataType
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # types of fields
FIXED_SIZES = {FIXED64: 8, FIXED32: 4}
LEAST_SHARED = 64  # bytes of a tensor that is worth a reference


def with_constant(graph: bytes, name: str, value: float) -> bytes:
    """The model with its input `name`, a float of shape (1,), as a constant, if it has such an input.

    Raises ModelError for what is no model.
    """
    named = message(VALUE_NAME, name.encode())  # a field of the ValueInfoProto that declares the input
    shape = write_varint(8 * DIMENSIONS + VARINT) + write_varint(1)
    data_type = write_varint(8 * DATA_TYPE + VARINT) + write_varint(FLOAT)
    data = message(RAW_DATA, np.array(value, "<f4").tobytes())
    constant = message(INITIALIZER, shape + data_type + message(TENSOR_NAME, name.encode()) + data)
    edited: list[bytes | memoryview] = []
    for number, field, content in fields(memoryview(graph)):
        kept = [
            part
            for part_number, part, value_info in (fields(content) if number == GRAPH else ())
            if part_number != INPUT or all(inner != named for _, inner, _ in fields(value_info))
        ]
        has_input = number == GRAPH and sum(map(len, kept)) < len(content)
        edited.append(message(GRAPH, b"".join([*kept, constant])) if has_input else field)
    return b"".join(edited)


def without_shared(graph: bytes, files: Mapping[str, bytes]) -> bytes:
    """The graph with references in place of tensors that other graphs, `files` by name, hold too."""
    references = {
        data: f"{file}:{name}" for file, name, data in tensors_of(files) if len(data) >= LEAST_SHARED
    }

    def refer(tensor: bytes) -> bytes:
        parts = {number: bytes(content) for number, _, content in fields(memoryview(tensor))}
        if (reference := references.get(parts.get(RAW_DATA, b""))) is None:
            return tensor
        kept = [bytes(field) for number, field, _ in fields(memoryview(tensor)) if number != RAW_DATA]
        return b"".join([*kept, message(DOCUMENTATION, reference.encode())])

    return with_tensors(graph, refer)


def with_shared(graph: bytes, files: Mapping[str, bytes]) -> bytes:
    """The graph with the tensors that it refers to; raises ModelError where one of them is not there."""
    shared = {f"{file}:{name}".encode(): data for file, name, data in tensors_of(files)}

    def fill(tensor: bytes) -> bytes:
        parts = {number: bytes(content) for number, _, content in fields(memoryview(tensor))}
        if DOCUMENTATION not in parts:
            return tensor
        try:
            return tensor + message(RAW_DATA, shared[parts[DOCUMENTATION]])
        except KeyError as error:
            place = parts[DOCUMENTATION].decode(errors="replace")
            raise ModelError(
                f"a network refers to weights that are missing ({place}): reinstall it"
            ) from error

    return with_tensors(graph, fill)


def tensors_of(files: Mapping[str, bytes]) -> Iterator[tuple[str, str, bytes]]:
    """File, name and data of each tensor of some graphs that has data."""
    for file, graph in files.items():
        for number, _, content in fields(memoryview(graph)):
            for field_number, _, tensor in fields(content) if number == GRAPH else ():
                if field_number == INITIALIZER:
                    parts = {field: bytes(value) for field, _, value in fields(tensor)}
                    if RAW_DATA in parts:
                        yield file, parts[TENSOR_NAME].decode(), parts[RAW_DATA]


def with_tensors(graph: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The model with each of its tensors changed; raises ModelError where its file is cut off."""

    def changed(content: memoryview) -> bytes:
        return b"".join(
            message(INITIALIZER, change(bytes(value))) if number == INITIALIZER else field
            for number, field, value in fields(content)
        )

    return b"".join(
        message(GRAPH, changed(content)) if number == GRAPH else field
        for number, field, content in fields(memoryview(graph))
    )


def message(number: int, content: bytes) -> bytes:
    """A field of bytes."""
    return write_varint(8 * number + BYTES) + write_varint(len(content)) + content


def fields(data: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Number, bytes with the key, and content of each field of a message; raises ModelError where cut off."""
    place = 0
    while place < len(data):
        try:
            key, start = read_varint(data, place)
            end = start + FIXED_SIZES.get(key % 8, len(data) + 1)
            if key % 8 == VARINT:
                _, end = read_varint(data, start)
            elif key % 8 == BYTES:
                size, start = read_varint(data, start)
                end = start + size
            if end > len(data):
                raise IndexError(end)
        except IndexError as error:
            raise ModelError("a network cannot be loaded: its file is cut off") from error
        yield key // 8, data[place:end], data[start:end]
        place = end


def read_varint(data: memoryview, place: int) -> tuple[int, int]:
    """A number as `write_varint` writes it, and the place behind it."""
    value = shift = 0
    while data[place] & 0x80:
        value |= (data[place] & 0x7F) << shift
        place, shift = place + 1, shift + 7
    return value | data[place] << shift, place + 1
