"""A prompt with pictures or sounds, as the language model inside a larger one reads it.

Every model of transformers that sees does the same at its beginning: it embeds the tokens, puts what
its towers made of the pictures in their places, works out positions and masks, and hands all this
to its language model. ``Door`` stands in that place and keeps what is handed over. So the merge is
the model's own, whatever the family, and the batch runs the language model alone.
"""

from __future__ import annotations

import copy
import hashlib
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from inference.engine.failures import in_our_words

# What models call looking at pictures and listening to sounds.
TOWERS = frozenset({"get_image_features", "get_audio_features"})
MOST_REMEMBERED = 4


@dataclass(frozen=True, eq=False)
class Media:
    """A prompt of ``tokens`` embeddings.

    - ``embeddings``: ``[tokens, width]``, pictures in their places.
    - ``positions``: ``[axes, tokens]``; the next token's is one more than the highest.
    - ``blocks``: spans ``(first, last)`` within which every token sees every other.
    - ``deep``: for each of the first layers what it adds, ``[tokens, width]`` (Qwen3-VL's deepstack).
    - ``keys``: tokens as they are told apart. Those that stand for a picture are negative numbers, and
      the same only for the same pictures.
    """

    embeddings: Tensor
    positions: Tensor
    blocks: tuple[tuple[int, int], ...]
    deep: tuple[Tensor, ...]
    keys: list[int]
    _ends: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ends", tuple(last for _, last in self.blocks))

    @property
    def offset(self) -> int:
        """How far the positions of what follows lie from its places."""
        return int(self.positions.max()) + 1 - self.positions.shape[1]

    def cut_after(self, place: int) -> int:
        """``place``, or the end of the block that it would cut in two."""
        block = self._cut_by(place)
        return block[1] + 1 if block else place

    def cut_before(self, place: int) -> int:
        """``place``, or the beginning of the block that it would cut in two."""
        block = self._cut_by(place)
        return block[0] if block else place

    def _cut_by(self, place: int) -> tuple[int, int] | None:
        index = bisect_left(self._ends, place)
        if index < len(self.blocks) and self.blocks[index][0] < place:
            return self.blocks[index]
        return None

    def blocks_in(self, start: int, end: int) -> tuple[tuple[int, int], ...]:
        """The blocks from ``start`` to before ``end``, none of which these cut."""
        return self.blocks[bisect_left(self._ends, start) : bisect_right(self._ends, end - 1)]


class _Arrived(Exception):
    """What was handed to the language model."""

    def __init__(self, handed: dict[str, Any]) -> None:
        self.handed = handed


class Door(nn.Module):
    """Stands where a model has its language model; whoever calls it, ends here."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self._decoder = (decoder,)

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name) if name.startswith("_") else getattr(self._decoder[0], name)

    def forward(self, **handed: Any) -> None:
        raise _Arrived(handed)


class Merger:
    """Makes ``Media`` with ``model``, in one thread. Passes of its language model may run beside it.

    What the towers made of the last few sets of pictures is remembered, for the next turns about them.
    """

    def __init__(self, model: Any) -> None:
        self._towers: OrderedDict[tuple[str, bytes], Any] = OrderedDict()
        self._decoder = model.get_decoder()
        self._parent, self._name = next(
            (module, name)
            for module in model.modules()
            for name, child in module.named_children()
            if child is self._decoder
        )

    @torch.inference_mode()
    def merge(self, inputs: Mapping[str, Any], owner: str = "") -> Media:
        """``inputs`` are what the processor makes of one prompt, on the model's device.

        What was made for one owner is never used for another: the time it takes would tell.
        """
        # A copy for each call: some models note positions of the last prompt in themselves.
        parent = copy.copy(self._parent)
        parent._modules = {**parent._modules, self._name: Door(self._decoder)}
        for name in TOWERS & set(dir(parent)):
            parent.__dict__[name] = partial(self._remembered, owner, getattr(parent, name))
        with in_our_words():
            try:
                parent(**{name: value for name, value in inputs.items() if name != "labels"})
            except _Arrived as arrived:
                handed = arrived.handed
        tokens = inputs["input_ids"][0].tolist()
        embeddings = handed["inputs_embeds"][0]
        return Media(
            embeddings=embeddings,
            positions=_positions(handed.get("position_ids"), len(tokens)),
            blocks=_blocks(handed.get("attention_mask"), len(tokens)),
            deep=_deep(handed, embeddings),
            keys=self._keys(tokens, inputs, embeddings),
        )

    def _remembered(self, owner: str, look: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What ``look`` makes of pictures or sounds, made now or lately."""
        given = dict(enumerate(args)) | kwargs
        key = owner, _digest({f"{look.__name__} {name}": value for name, value in given.items()})
        if key not in self._towers:
            self._towers[key] = look(*args, **kwargs)
        self._towers.move_to_end(key)
        while len(self._towers) > MOST_REMEMBERED:
            self._towers.popitem(last=False)
        return self._towers[key]

    def _keys(self, tokens: list[int], inputs: Mapping[str, Any], embeddings: Tensor) -> list[int]:
        known = self._decoder.get_input_embeddings()
        ids = inputs["input_ids"][0].clamp_max(known.num_embeddings - 1)
        differs = (known(ids).to(embeddings.dtype) != embeddings).any(dim=-1).tolist()
        # What has a value for each token is about the text.
        shown = {
            name: value
            for name, value in inputs.items()
            if isinstance(value, Tensor) and value.shape != inputs["input_ids"].shape
        }
        digest = -1 - int.from_bytes(_digest(shown)[:7], "big")
        return [digest if other else token for token, other in zip(tokens, differs, strict=True)]


def _digest(named: Mapping[str, Any]) -> bytes:
    """Tells pictures and sounds apart, by the tensors that hold them."""
    found = hashlib.blake2b()
    for name in sorted(named):
        if isinstance(value := named[name], Tensor):
            found.update(repr((name, value.dtype, tuple(value.shape))).encode())
            flat = value.flatten().cpu().clone(memory_format=torch.contiguous_format)
            found.update(flat.view(torch.uint8).numpy().tobytes())
    return found.digest()


def _positions(handed: Tensor | None, tokens: int) -> Tensor:
    if handed is None:
        return torch.arange(tokens)[None]
    if handed.dim() == 2:
        return handed.cpu()
    # Of four axes, the first counts the text for masks of packed sequences.
    return handed[-3:, 0].cpu()


def _blocks(handed: Any, tokens: int) -> tuple[tuple[int, int], ...]:
    """Spans that are seen as a whole, from a mask ``[1, 1, tokens, tokens]``; other masks have none."""
    mask = handed.get("full_attention") if isinstance(handed, dict) else handed
    if not isinstance(mask, Tensor) or mask.dim() != 4:
        return ()
    seen = mask[0, 0, :, :tokens] if mask.dtype is torch.bool else mask[0, 0, :, :tokens] == 0
    last = (tokens - 1 - seen.flip(-1).int().argmax(dim=-1)).tolist()
    ahead = [(place, end) for place, end in enumerate(last) if end > place]
    first: dict[int, int] = {}
    for place, end in ahead:
        first.setdefault(end, place)
    return tuple((place, end) for end, place in sorted(first.items()))


def _deep(handed: Mapping[str, Any], embeddings: Tensor) -> tuple[Tensor, ...]:
    layers, where = handed.get("deepstack_visual_embeds"), handed.get("visual_pos_masks")
    if not layers or where is None:
        return ()
    result = []
    for layer in layers:
        whole = torch.zeros_like(embeddings)
        whole[where[0]] = layer.to(whole.dtype)
        result.append(whole)
    return tuple(result)
