"""A target: what a name stands for, and how aliases add up to it.

Made of rows that were read already; knows nothing of how they are found, and of who may ask.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from django.conf import settings
from msgspec.structs import replace

from aliases.models import Alias, options_read
from inference.chat_templates import takes_tools, thinks
from inference.durations import duration
from inference.models import ModelRecord
from inference.protocol import (
    JSON,
    Device,
    Dtype,
    Generate,
    Load,
    Message,
    ModelRef,
    Options,
    Quantization,
    Work,
)

Asked = TypeVar("Asked", bound=Load | Work)
JSON_ONLY = "Answer with valid JSON and nothing else."


@dataclass(frozen=True)
class Target:
    """What a name stands for: the model, who provides it, and the alias's defaults.

    ``model.name`` is the name that was asked for, ``record.name`` that of the model itself;
    ``alias`` is ``None`` where the model was asked for by its own name. ``template`` is a chat template in
    the place of the model's own; ``fallbacks`` are the names of what answers where this cannot, and
    ``missing`` is the model that one of them stands in for already, since it cannot be asked.
    """

    provider: str
    model: ModelRef
    record: ModelRecord
    system: str = ""
    options: Options = Options()
    messages: tuple[Message, ...] = ()
    format: str = ""
    keep_alive: float | None = None
    template: str = ""
    fallbacks: tuple[str, ...] = ()
    missing: str = ""
    alias: Alias | None = None

    @property
    def capabilities(self) -> list[str]:
        """What the model can do, as Ollama names it, by the template that is used."""
        return capabilities_with(self.template, self.record.capabilities)

    @property
    def takes_pictures(self) -> bool:
        """Whether a request with pictures is taken: where they can be seen, or left out."""
        return "vision" in self.capabilities or settings.VISION_FALLBACK

    def fill(self, request: Asked) -> Asked:
        """``request`` with the alias's defaults where it says nothing.

        A request with tools is not held to JSON: its answer may be a call.
        """
        keep_alive = self.keep_alive if request.keep_alive is None else request.keep_alive
        if not isinstance(request, Generate):
            return replace(request, keep_alive=keep_alive)
        return replace(
            request,
            options=request.options.over(self.options),
            template=request.template or self.template,
            format=request.format or ("" if request.tools else self.format),
            keep_alive=keep_alive,
        )

    @classmethod
    def of(cls, record: ModelRecord) -> Target:
        """The model itself."""
        model = ModelRef(name=record.name, path=str(record.path), id=record.name)
        return cls(record.provider, model, record)

    def under(self, alias: Alias) -> Target:
        """This with what ``alias`` says over it."""
        system = alias.system or self.system
        return dataclasses.replace(
            self,
            provider=alias.provider,
            model=_loaded_as(self.model, alias),
            system=asking_for_json(system) if alias.json_mode and not self.format else system,
            options=options_read(alias.options or {}).over(self.options),
            messages=msgspec.convert(alias.messages or (), tuple[Message, ...]) or self.messages,
            format=JSON if alias.json_mode else self.format,
            keep_alive=duration(alias.keep_alive) if alias.keep_alive else self.keep_alive,
            template=alias.template or self.template,
            fallbacks=tuple(alias.fallbacks) or self.fallbacks,
            alias=alias,
        )

    def in_place_of(self, asked: Target) -> Target:
        """This as it answers for ``asked``: under its name and by its words, with options of its own where
        ``asked`` has none. How that is loaded, and its template, are of its own model and do not count."""
        return dataclasses.replace(
            asked,
            provider=self.provider,
            model=replace(self.model, name=asked.model.name),
            record=self.record,
            options=asked.options.over(self.options),
            template=self.template,
            keep_alive=self.keep_alive if asked.keep_alive is None else asked.keep_alive,
        )


def capabilities_with(template: str, known: list[str]) -> list[str]:
    """The capabilities ``known`` of a model where ``template``, if any, is in the place of its own."""
    if not template or "completion" not in known:
        return known
    said = {"tools": takes_tools(template), "thinking": thinks(template)}
    kept = [name for name in known if said.get(name, True)]
    return [*kept, *(name for name, is_said in said.items() if is_said and name not in kept)]


def asking_for_json(system: str) -> str:
    """``system`` that asks for JSON: a model that is not told fills the form it is held to with anything."""
    return system if system.endswith(JSON_ONLY) else f"{system}\n\n{JSON_ONLY}".strip()


def _loaded_as(model: ModelRef, alias: Alias) -> ModelRef:
    """``model`` under the alias's name, loaded as it says."""
    quantization = model.quantization if alias.quantization == "none" else alias.quantization
    return replace(
        model,
        name=alias.name,
        quantization=msgspec.convert(quantization, Quantization),
        dtype=model.dtype if alias.dtype == "auto" else msgspec.convert(alias.dtype, Dtype),
        device=model.device if alias.device == "auto" else msgspec.convert(alias.device, Device),
    )
