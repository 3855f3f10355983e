"""Networks in torch to ONNX graphs."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

OPSET = 18
HALF = "_half"  # after the name of a weight that is stored as float16


def to_onnx(
    network: nn.Module,
    inputs: Mapping[str, tuple[int, int, int] | None],
    outputs: list[str],
    halve: bool = True,
    fold: bool = True,
) -> bytes:
    """A network as ONNX: float32 arithmetic, large weights stored as float16 if they are to be halved.

    `inputs` are the shapes (C, H, W) of examples, of which H and W may be others at run time, or None for a
    single number. Folding constants stores a weight twice that is also used transposed.
    """
    file = io.BytesIO()
    examples = [torch.tensor([50.0]) if shape is None else torch.rand(1, *shape) for shape in inputs.values()]
    pictures = [*(name for name, shape in inputs.items() if shape), *outputs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            tuple(examples),
            file,
            input_names=list(inputs),
            output_names=outputs,
            dynamic_axes={name: {2: "rows", 3: "columns"} for name in pictures},
            opset_version=OPSET,
            dynamo=False,
            do_constant_folding=fold,
        )
    model = onnx.load_from_string(file.getvalue())
    return (halve_weights(model) if halve else model).SerializeToString()


def halve_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its large float32 weights stored as float16 and cast back when it is loaded."""
    for weight in list(model.graph.initializer):
        array = numpy_helper.to_array(weight)
        if array.dtype == np.float32 and array.size > 1024:
            half = numpy_helper.from_array(array.astype(np.float16), weight.name + HALF)
            model.graph.initializer.remove(weight)
            model.graph.initializer.append(half)
            cast = onnx.helper.make_node("Cast", [half.name], [weight.name], to=onnx.TensorProto.FLOAT)
            model.graph.node.insert(0, cast)
    return model
