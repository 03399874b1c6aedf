"""The ONNX graph of all-MiniLM-L6-v2, written from its safetensors weights. Imported only when the graph is built.

A BERT encoder (Devlin et al., 2018) in ONNX Runtime's fused operators: Attention, SkipLayerNormalization and BiasGelu
of com.microsoft. Output: the last hidden states; pooling and normalisation follow outside.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

LAYERS = 6
HEADS = 12
HIDDEN = 384
EPSILON = 1e-12
OPSET = 17
IR_VERSION = 8
CONTRIB = "com.microsoft"

Weights = Mapping[str, NDArray[np.float32]]


class _Graph:
    """Collects nodes and initialisers; every method returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, name: str, values: NDArray[np.float32] | NDArray[np.int64]) -> str:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, domain: str = "", **attributes: float) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, domain=domain))
        self.nodes[-1].attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
        return output


def _embeddings(graph: _Graph, weights: Weights) -> str:
    """Word + position + segment 0, normalised. The segment row is folded into the position table."""
    table = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    words = graph.node(
        "Gather", [graph.constant("words", weights["embeddings.word_embeddings.weight"]), "input_ids"], "word_rows"
    )
    shape = graph.node("Shape", ["input_ids"], "shape", start=1, end=2)
    zero = graph.constant("zero", np.array([0], dtype=np.int64))
    rows = graph.node("Slice", [graph.constant("positions", table), zero, shape, zero], "position_rows")
    summed = graph.node("Add", [words, rows], "embedding_sum")
    gamma = graph.constant("embedding_gamma", weights["embeddings.LayerNorm.weight"])
    beta = graph.constant("embedding_beta", weights["embeddings.LayerNorm.bias"])
    return graph.node("LayerNormalization", [summed, gamma, beta], "hidden_0", axis=-1, epsilon=EPSILON)


def _add_and_norm(graph: _Graph, weights: Weights, source: str, branch: str, skip: str, output: str) -> str:
    """LayerNorm(branch @ W + b + skip), W and b being the dense part of `source`."""
    dense = graph.constant(f"{output}_w", weights[f"{source}.dense.weight"].T)
    product = graph.node("MatMul", [branch, dense], f"{output}_product")
    gamma = graph.constant(f"{output}_gamma", weights[f"{source}.LayerNorm.weight"])
    beta = graph.constant(f"{output}_beta", weights[f"{source}.LayerNorm.bias"])
    bias = graph.constant(f"{output}_b", weights[f"{source}.dense.bias"])
    return graph.node(
        "SkipLayerNormalization", [product, skip, gamma, beta, bias], output, domain=CONTRIB, epsilon=EPSILON
    )


def _layer(graph: _Graph, weights: Weights, number: int, hidden: str) -> str:
    source = f"encoder.layer.{number}"
    heads = [f"{source}.attention.self.{part}" for part in ("query", "key", "value")]
    qkv = graph.constant(f"qkv_w_{number}", np.concatenate([weights[f"{head}.weight"].T for head in heads], axis=1))
    qkv_bias = graph.constant(f"qkv_b_{number}", np.concatenate([weights[f"{head}.bias"] for head in heads]))
    attended = graph.node(
        "Attention", [hidden, qkv, qkv_bias, "mask"], f"attended_{number}", domain=CONTRIB, num_heads=HEADS
    )
    middle = _add_and_norm(graph, weights, f"{source}.attention.output", attended, hidden, f"middle_{number}")
    wide = graph.constant(f"wide_w_{number}", weights[f"{source}.intermediate.dense.weight"].T)
    wide_bias = graph.constant(f"wide_b_{number}", weights[f"{source}.intermediate.dense.bias"])
    widened = graph.node("MatMul", [middle, wide], f"wide_product_{number}")
    curved = graph.node("BiasGelu", [widened, wide_bias], f"wide_{number}", domain=CONTRIB)
    return _add_and_norm(graph, weights, f"{source}.output", curved, middle, f"hidden_{number + 1}")


def write_int8(graph: Path, into: Path) -> None:
    """Write the f32 graph with its weights as int8; activations are quantised as they come (ONNX Runtime, dynamic)."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Without the default type the fused operators of com.microsoft stop it: it infers no types through them.
    options = {"DefaultTensorType": TensorProto.FLOAT}
    quantize_dynamic(graph, into, weight_type=QuantType.QInt8, extra_options=options)


def write_graph(safetensors: Path, into: Path) -> None:
    """Write the ONNX file `into`, and the weights beside it as `into`.weights. Inputs int64 (batch, tokens).

    The weights lie outside the graph because ONNX Runtime maps such a file instead of copying it: loading the model
    costs a process 50 MB in place of 128.
    """
    weights: Weights = load_file(safetensors)
    graph = _Graph()
    hidden = _embeddings(graph, weights)
    graph.node("Cast", ["attention_mask"], "mask", to=TensorProto.INT32)
    for number in range(LAYERS):
        hidden = _layer(graph, weights, number, hidden)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "all-MiniLM-L6-v2",
            [
                helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
                for name in ("input_ids", "attention_mask")
            ],
            [helper.make_tensor_value_info(hidden, TensorProto.FLOAT, ["batch", "tokens", HIDDEN])],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)],
        producer_name="millstream",
    )
    model.ir_version = IR_VERSION
    weights_file = f"{into.name}.weights"
    onnx.save(model, str(into), save_as_external_data=True, location=weights_file, size_threshold=1024)
