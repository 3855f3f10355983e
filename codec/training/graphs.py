"""Networks in torch to ONNX graphs."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnx.helper import make_node
from torch import nn

OPSET = 18  # of ONNX; a newer one would need newer engines, an older one lacks operations
NARROW_LIMIT = 63  # largest weight in 8 bits: two products with 255 must fit into 16, see `narrow_products`
HALF = "_half"  # after the name of a weight that is stored as float16


def to_onnx(
    network: nn.Module,
    inputs: Mapping[str, tuple[int, int, int] | None],
    outputs: list[str],
    halve: bool = True,
    fold: bool = True,
    narrow: str = "",
) -> bytes:
    """A network as ONNX: float32 arithmetic, large weights stored as float16 if `halve`.

    `narrow` is a prefix of names; matrices under it are multiplied in 8 bits. `inputs` gives the shape (C, H,
    W) of an example of each input, or None for a single number; H and W may differ at run time. `fold` folds
    constants, which stores a weight twice that is also used transposed.
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
    if narrow:
        model = narrow_products(model, narrow)
    return (halve_weights(model) if halve else model).SerializeToString()


def narrow_products(model: onnx.ModelProto, prefix: str) -> onnx.ModelProto:
    """The graph with 8-bit products in place of the 1x1 convolutions whose bias has a name with the prefix.

    Inputs are rounded to 255 steps between their extremes, weights to -63 to 63 steps of their output. With
    127 the sum of two products would overflow 16 bits, in which processors without VNNI add. An engine that
    knows the pattern fuses it into one operation and drops transposes between two such products.
    """
    weights = {weight.name: weight for weight in model.graph.initializer}
    for node in model.graph.node:  # equal weights are there once
        if node.op_type == "Identity" and node.input[0] in weights:
            weights[node.output[0]] = weights[node.input[0]]
    nodes = []
    for node in model.graph.node:
        if node.op_type != "Conv" or not "".join(node.input[2:]).startswith(prefix):
            nodes.append(node)
            continue
        (picture, weight, bias), (output,) = node.input, node.output
        matrix = numpy_helper.to_array(weights[weight])[:, :, 0, 0].T
        steps = np.abs(matrix).max(0).clip(min=1e-9) / NARROW_LIMIT
        for name, array in (("matrix", np.rint(matrix / steps).astype(np.int8)), ("steps", steps)):
            model.graph.initializer.append(numpy_helper.from_array(array, f"{output}_{name}"))
        nodes += [
            make_node("Transpose", [picture], [f"{output}_rows"], perm=[0, 2, 3, 1]),
            make_node(
                "DynamicQuantizeLinear",
                [f"{output}_rows"],
                [f"{output}_int", f"{output}_step", f"{output}_zero"],
            ),
            make_node(
                "MatMulInteger", [f"{output}_int", f"{output}_matrix", f"{output}_zero"], [f"{output}_sums"]
            ),
            make_node("Cast", [f"{output}_sums"], [f"{output}_floats"], to=onnx.TensorProto.FLOAT),
            make_node("Mul", [f"{output}_step", f"{output}_steps"], [f"{output}_both_steps"]),
            make_node("Mul", [f"{output}_floats", f"{output}_both_steps"], [f"{output}_products"]),
            make_node("Add", [f"{output}_products", bias], [f"{output}_with_bias"]),
            make_node("Transpose", [f"{output}_with_bias"], [output], perm=[0, 3, 1, 2]),
        ]
    used = {name for node in nodes for name in node.input}
    for weight in list(model.graph.initializer):
        if weight.name not in used:
            model.graph.initializer.remove(weight)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def halve_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its large float32 weights stored as float16 and cast back when it is loaded."""
    for weight in list(model.graph.initializer):
        array = numpy_helper.to_array(weight)
        if array.dtype == np.float32 and array.ndim > 1 and array.size > 1024:
            half = numpy_helper.from_array(array.astype(np.float16), weight.name + HALF)
            model.graph.initializer.remove(weight)
            model.graph.initializer.append(half)
            cast = make_node("Cast", [half.name], [weight.name], to=onnx.TensorProto.FLOAT)
            model.graph.node.insert(0, cast)
    return model
