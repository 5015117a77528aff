"""LongRoPE (Ding et al., 2024): models with one set of rotary frequencies for short texts and another for
long ones, such as Phi 3 and 4 mini.

transformers chooses by the furthest position in a pass. In a batch that may be another row's, and of a long
text that is read in pieces the first ones would be read by the short set. So the length of the context
decides, once, as in llama.cpp and vLLM.
"""

from __future__ import annotations

from torch import nn
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

KIND = "longrope"


def settle_frequencies(model: nn.Module, context: int) -> None:
    """Have ``model`` turn every text of up to ``context`` tokens by one set of frequencies."""
    for module in model.modules():
        if getattr(module, "rope_type", None) == KIND:
            chosen, _ = ROPE_INIT_FUNCTIONS[KIND](module.config, module.inv_freq.device, seq_len=context)
            # What transformers chooses from in each pass.
            module.original_inv_freq = module.long_inv_freq = chosen
