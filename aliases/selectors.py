"""From the name that a client writes to the model that answers."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db.models import Exists, Q, QuerySet
from msgspec.structs import replace

from aliases.models import Alias, options_read
from inference.asker import asker
from inference.chat_templates import takes_tools, thinks
from inference.durations import duration
from inference.errors import Forbidden, InvalidRequest, ModelNotFound, ProviderDisabled
from inference.models import ModelRecord
from inference.protocol import (
    JSON,
    Device,
    Dtype,
    Generate,
    Load,
    LoadedModel,
    Message,
    ModelRef,
    Options,
    Quantization,
    Work,
)
from inference.providers.configs import models_preferred, providers_off

# Ollama's grammar of model names: [host/][namespace/]model[:tag], at most 80 characters a part.
_NAME = re.compile(
    r"(?:(?:hf\.co|huggingface\.co|registry\.ollama\.ai)/)?"
    r"(?P<name>(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}/)?[A-Za-z0-9_][A-Za-z0-9_.-]{0,79})"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}))?",
    re.IGNORECASE,
)
DEFAULT_TAG = "latest"
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


def capabilities_with(template: str, known: list[str]) -> list[str]:
    """The capabilities ``known`` of a model where ``template``, if any, is in the place of its own."""
    if not template or "completion" not in known:
        return known
    said = {"tools": takes_tools(template), "thinking": thinks(template)}
    kept = [name for name in known if said.get(name, True)]
    return [*kept, *(name for name, is_said in said.items() if is_said and name not in kept)]


def alias_find(name: str) -> Alias | None:
    """The alias with this canonical name, whatever the case."""
    return Alias.objects.filter(name__iexact=name).first()


def model_find(name: str) -> ModelRecord | None:
    """The model with this canonical name, whatever the case, of the provider that comes first."""
    return models_preferred(ModelRecord.objects.filter(name__iexact=name)).first()


def names_of(record: ModelRecord) -> list[str]:
    """The aliases that stand for a model."""
    held = Alias.objects.filter(provider=record.provider, model__iexact=record.name)
    return list(held.values_list("name", flat=True))


def aliases_visible(user: int | None) -> QuerySet[Alias]:
    """The aliases that ``user``, by primary key, may ask for; all where nobody had to log in."""
    enabled = Alias.objects.filter(enabled=True)
    if user is None:
        return enabled
    return enabled.filter(
        Q(visibility=Alias.Visibility.EVERYONE)
        | Q(Exists(User.objects.filter(pk=user, is_superuser=True)))
        | Q(pk__in=Alias.users.through.objects.filter(user_id=user).values("alias_id"))
        | Q(groups__in=Group.objects.filter(user=user))
    ).distinct()


def loaded_visible(models: Iterable[LoadedModel], user: int | None) -> tuple[LoadedModel, ...]:
    """What is in memory, without what goes by an alias that ``user``, by primary key, may not ask for."""
    if user is None:
        return tuple(models)
    hidden = Alias.objects.exclude(pk__in=aliases_visible(user).values("pk"))
    names = {name.lower() for name in hidden.values_list("name", flat=True)}
    return tuple(model for model in models if model.name.lower() not in names)


def alias_models(aliases: Iterable[Alias]) -> dict[str, str]:
    """The name of the model behind each of ``aliases``, both in lower case."""
    models = {alias.name.lower(): alias.model.lower() for alias in aliases}
    return {name: models.get(model, model) for name, model in models.items()}


def alias_resolve(name: str, *, to_ask: bool = True) -> Target:
    """The target of an alias or model, whatever the case, for whoever asks.

    ``ModelNotFound`` where there is none that they may see, ``Forbidden`` where their key is for
    other models, ``ProviderDisabled`` where nobody may ask it, unless that is not what it is for.
    """
    who = asker()
    off = providers_off() if to_ask else frozenset()
    target = _target(canonical_name(name), who.user, off)
    if target is None:
        raise ModelNotFound.named(name)
    if who.models and _allowed(who.models).isdisjoint(_names(name, target)):
        raise Forbidden(f"This key may not ask for '{target.model.name}'.")
    if target.provider in off:
        raise ProviderDisabled.named(target.provider)
    return target


def alternatives(target: Target) -> list[Target]:
    """What may answer in the place of ``target``, in order, for whoever asks: its fallbacks that are here."""
    off = providers_off()
    names = map(canonical_name, target.fallbacks)
    found = (_target(name, asker().user, off, fall_back=False) for name in names)
    return [stand_in(other, target) for other in found if other and other.provider not in off]


def stand_in(found: Target, asked: Target) -> Target:
    """``found`` as it answers for ``asked``: under its name and by its words, with options of its own where
    ``asked`` has none. How ``asked`` is loaded, and its template, are of its own model and do not count."""
    return dataclasses.replace(
        asked,
        provider=found.provider,
        model=replace(found.model, name=asked.model.name),
        record=found.record,
        options=asked.options.over(found.options),
        template=found.template,
        keep_alive=found.keep_alive if asked.keep_alive is None else asked.keep_alive,
    )


def _allowed(names: Iterable[str]) -> set[str]:
    """What a key is for, as clients may have written it, in the form that names are compared in."""
    return {canonical_name(name).lower() for name in names if _NAME.fullmatch(name.strip())}


def _names(asked: str, target: Target) -> set[str]:
    """All that ``target`` goes by: a key for an alias is for its fallbacks as well."""
    names = canonical_name(asked), target.model.name, target.record.name
    return {name.lower() for name in names}


def _target(name: str, user: int | None, off: Collection[str], *, fall_back: bool = True) -> Target | None:
    """What ``name`` stands for, or the first of its fallbacks that stands for anything.

    What a provider that is ``off`` has is taken only where there is nothing else.
    """
    alias = aliases_visible(user).filter(name__iexact=name).first()
    if alias is None:
        record = model_find(name)
        return _plain(record) if record else None
    base = _base(alias)
    own = _with_alias(base, alias) if base else None
    if (own and own.provider not in off) or not fall_back:
        return own
    return _stood_in(alias, user, off) or own


def _stood_in(alias: Alias, user: int | None, off: Collection[str]) -> Target | None:
    """``alias``, whose model is not here, by the first of its fallbacks that is."""
    inner = _inner(alias)
    for name in alias.fallbacks or (inner.fallbacks if inner else ()):
        found = _target(canonical_name(name), user, off, fall_back=False)
        if found and found.provider not in off:
            words = _plain(found.record)
            for each in filter(None, (inner, alias)):
                words = _with_alias(words, each)
            return dataclasses.replace(stand_in(found, words), missing=alias.model)
    return None


def _plain(record: ModelRecord) -> Target:
    """The model itself."""
    return Target(record.provider, ModelRef(name=record.name, path=str(record.path), id=record.name), record)


def _base(alias: Alias) -> Target | None:
    """What ``alias`` adds to: a model of the revision it wants, or another alias of one."""
    if record := model_find(alias.model):
        return _plain(record) if record.revision.startswith(alias.revision) else None
    other = _inner(alias)
    record = model_find(other.model) if other else None
    if other is None or record is None or not record.revision.startswith(other.revision):
        return None
    return _with_alias(_plain(record), other)


def _inner(alias: Alias) -> Alias | None:
    """The alias that ``alias`` names, if it names one."""
    return Alias.objects.filter(enabled=True, name__iexact=alias.model).exclude(pk=alias.pk).first()


def _with_alias(base: Target, alias: Alias) -> Target:
    """``base`` with what ``alias`` says over it."""
    system = alias.system or base.system
    return dataclasses.replace(
        base,
        provider=alias.provider,
        model=_loaded_as(base.model, alias),
        system=asking_for_json(system) if alias.json_mode and not base.format else system,
        options=options_read(alias.options or {}).over(base.options),
        messages=msgspec.convert(alias.messages or (), tuple[Message, ...]) or base.messages,
        format=JSON if alias.json_mode else base.format,
        keep_alive=duration(alias.keep_alive) if alias.keep_alive else base.keep_alive,
        template=alias.template or base.template,
        fallbacks=tuple(alias.fallbacks) or base.fallbacks,
        alias=alias,
    )


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


def asking_for_json(system: str) -> str:
    """``system`` that asks for JSON: a model that is not told fills the form it is held to with anything."""
    return system if system.endswith(JSON_ONLY) else f"{system}\n\n{JSON_ONLY}".strip()
