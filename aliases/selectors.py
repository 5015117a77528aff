"""From the name that a client writes to the model that answers."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from aliases.models import Alias
from inference.errors import InvalidRequest, ModelNotFound
from inference.models import ModelRecord
from inference.protocol import Message, ModelRef, Options, Quantization

# Ollama's grammar of model names: [host/][namespace/]model[:tag], at most 80 characters a part.
_NAME = re.compile(
    r"(?:(?:hf\.co|huggingface\.co|registry\.ollama\.ai)/)?"
    r"(?P<name>(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}/)?[A-Za-z0-9_][A-Za-z0-9_.-]{0,79})"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}))?",
    re.IGNORECASE,
)
DEFAULT_TAG = "latest"


@dataclass(frozen=True)
class Target:
    """What a name stands for: the model, who provides it, and the alias's defaults.

    ``model.name`` is the name that was asked for, ``record.name`` that of the model itself;
    ``alias`` is ``None`` where the model was asked for by its own name.
    """

    provider: str
    model: ModelRef
    record: ModelRecord
    system: str = ""
    options: Options = Options()
    messages: tuple[Message, ...] = ()
    alias: Alias | None = None


def canonical_name(name: str) -> str:
    """``name`` without host and default tag; ``InvalidRequest`` if it is no model name."""
    match = _NAME.fullmatch(name.strip())
    if not match:
        raise InvalidRequest("invalid model name")
    tag = match["tag"] or DEFAULT_TAG
    plain = match["name"].removeprefix("library/")
    return plain if tag.lower() == DEFAULT_TAG else f"{plain}:{tag}"


def full_name(name: str) -> str:
    """A canonical ``name`` with its tag, as Ollama lists it."""
    return name if ":" in name else f"{name}:{DEFAULT_TAG}"


def alias_find(name: str) -> Alias | None:
    """The alias with this canonical name, whatever the case."""
    return Alias.objects.filter(name__iexact=name).first()


def model_find(name: str) -> ModelRecord | None:
    """The model with this canonical name, whatever the case."""
    return ModelRecord.objects.filter(name__iexact=name).first()


def names_of(record: ModelRecord) -> list[str]:
    """The aliases that stand for a model."""
    held = Alias.objects.filter(provider=record.provider, model__iexact=record.name)
    return list(held.values_list("name", flat=True))


def alias_resolve(name: str) -> Target:
    """The target of an alias or model, whatever the case; ``ModelNotFound`` if there is none."""
    wanted = canonical_name(name)
    alias = alias_find(wanted)
    record = model_find(alias.model if alias else wanted)
    if record is None:
        raise ModelNotFound.named(name)
    if alias is None:
        return Target(
            record.provider, ModelRef(name=record.name, path=str(record.path), id=record.name), record
        )
    return Target(
        provider=alias.provider,
        model=ModelRef(
            name=alias.name,
            path=str(record.path),
            id=record.name,
            quantization=msgspec.convert(alias.quantization, Quantization),
        ),
        record=record,
        system=alias.system,
        options=msgspec.convert(alias.options or {}, Options),
        messages=msgspec.convert(alias.messages or (), tuple[Message, ...]),
        alias=alias,
    )
