"""The weights of a model that is built like Llama, laid out for the lean forward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from inference.engine.kernels.library import Kernels
from inference.engine.linear import Linear, WaitingLinear, fused_linear, head_linear
from inference.protocol import Quantization


@dataclass(frozen=True)
class Layer:
    """The weights of one layer: query, key and value side by side, gate and up likewise.

    Norms are float32; those of query and key are there in some families only. ``window`` tokens are
    seen, all where it is ``None``.
    """

    qkv: Linear
    out: Linear
    gate_up: Linear
    down: Linear
    norm_attention: Tensor
    norm_feed_forward: Tensor
    norm_query: Tensor | None
    norm_key: Tensor | None
    window: int | None

    def by(self, remade: Callable[[Linear], Linear]) -> Layer:
        """The same, each of its multiplications ``remade``."""
        return replace(
            self,
            qkv=remade(self.qkv),
            out=remade(self.out),
            gate_up=remade(self.gate_up),
            down=remade(self.down),
        )


@dataclass(frozen=True)
class LeanWeights:
    """All weights of a model."""

    embedding: Tensor
    layers: list[Layer]
    norm: Tensor
    head: Linear


def lean_weights(
    model: Any, quantization: Quantization, kernels: Kernels | None, *, later: bool = False
) -> LeanWeights:
    """The weights of ``model``, a causal language model of transformers; ``later`` to be quantized."""

    def fused(*modules: Any) -> Linear:
        if any(type(module) is not nn.Linear for module in modules):
            return _side_by_side(modules)
        weights, biases = [module.weight for module in modules], [module.bias for module in modules]
        if later:
            return WaitingLinear(weights, biases)
        return fused_linear(weights, biases, quantization, kernels)

    def head(module: Any) -> Linear:
        if type(module) is not nn.Linear:
            return _side_by_side((module,))
        if later:
            return WaitingLinear([module.weight], [module.bias])
        return head_linear(module.weight, module.bias, quantization, kernels)

    def layer(module: Any, window: int | None) -> Layer:
        attention, feed_forward = module.self_attn, module.mlp
        return Layer(
            qkv=fused(attention.q_proj, attention.k_proj, attention.v_proj),
            out=fused(attention.o_proj),
            gate_up=fused(feed_forward.gate_proj, feed_forward.up_proj),
            down=fused(feed_forward.down_proj),
            norm_attention=_norm(module.input_layernorm),
            norm_feed_forward=_norm(module.post_attention_layernorm),
            norm_query=_norm(attention.q_norm) if hasattr(attention, "q_norm") else None,
            norm_key=_norm(attention.k_norm) if hasattr(attention, "k_norm") else None,
            window=window,
        )

    body = model.model
    words = body.embed_tokens.weight.detach()
    return LeanWeights(
        # See _norm; elsewhere the last layer may use the same.
        embedding=words.clone() if words.device.type == "cpu" else words,
        layers=list(map(layer, body.layers, _windows(model.config))),
        norm=_norm(body.norm),
        head=head(model.lm_head),
    )


def _side_by_side(modules: Sequence[Any]) -> Linear:
    """Layers that are more than a matrix, such as bitsandbytes', each as it is: the same numbers as the
    model's own, and no second copy of weights for which there is little room."""
    if len(modules) == 1:
        only: Linear = modules[0]
        return only
    return lambda inputs: torch.cat([layer(inputs) for layer in modules], dim=-1)


def _norm(module: Any) -> Tensor:
    """The weight of a norm, a copy in any case.

    Weights are views of one mapping of their file: a single one that stays keeps all of it in memory.
    """
    weight: Tensor = module.weight.detach().to(torch.float32, copy=True).contiguous()
    return weight


def _windows(config: Any) -> list[int | None]:
    """The window of each layer's attention, where it has one."""
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * config.num_hidden_layers
    return [window if kind == "sliding_attention" else None for kind in kinds]
