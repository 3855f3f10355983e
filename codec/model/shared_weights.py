"""Weights that two graphs of a model share stand in one of their files; the other's say where.

A tensor without data has in its documentation "FILE:TENSOR", whose data it takes as the model is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from aecodec.errors import ModelError
from aecodec.model.constants import GRAPH, INITIALIZER, RAW_DATA, TENSOR_NAME, fields, message

DOCUMENTATION = 12  # of TensorProto
LEAST = 64  # bytes of a tensor that is worth a reference


def without_shared(graph: bytes, files: Mapping[str, bytes]) -> bytes:
    """The graph with references in place of tensors that other graphs, `files` by name, hold too."""
    references = {data: f"{file}:{name}" for file, name, data in tensors_of(files) if len(data) >= LEAST}

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
    try:
        parts = []
        for number, field, content in fields(memoryview(graph)):
            if number == GRAPH:
                inside = [
                    message(INITIALIZER, change(bytes(value))) if field_number == INITIALIZER else bytes(part)
                    for field_number, part, value in fields(content)
                ]
                parts.append(message(GRAPH, b"".join(inside)))
            else:
                parts.append(bytes(field))
        return b"".join(parts)
    except IndexError as error:
        raise ModelError("a network cannot be loaded: its file is cut off") from error
