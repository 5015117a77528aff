"""Writes aliases: every check that a new name has to pass is here.

Each service takes names as clients write them and raises ``InferenceError`` with a text for people.
Knows nothing of HTTP, of commands and of the admin.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from msgspec import Meta, Struct

from aliases.models import MAX_FALLBACKS, Alias
from aliases.names import canonical_name, names_comparable
from aliases.selectors import alias_find, alias_resolve, names_on
from aliases.target import Target
from inference.errors import InferenceError, InvalidRequest, ModelNotFound, NotFound
from inference.models import ModelRecord
from inference.protocol import (
    LONGEST_GIVEN_TEMPLATE,
    MAX_MESSAGES,
    Device,
    Dtype,
    Message,
    Options,
    Quantization,
)
from inference.store.contents import template_of

LONGEST_SYSTEM = 262_144
LONGEST_LICENSE = 1_048_576
_REPLACED = (
    *("description", "system", "messages", "quantization", "dtype", "device", "template"),
    *("json_mode", "keep_alive", "fallbacks", "license"),
)
# What an alias says that leaves a thing to what it names.
_UNSAID: tuple[object, ...] = ("", [], False, "none", "auto")


class AliasHeld(InferenceError):
    """Other aliases name this one, so it is not deleted."""

    code = "alias_held"
    status = 409

    def __init__(self, name: str, holders: Iterable[str]) -> None:
        names = ", ".join(sorted(holders))
        super().__init__(
            f"{name} is what {names} stands for. Delete that alias first, or let it name another."
        )


class Settings(Struct, frozen=True, kw_only=True):
    """What an alias adds to its source; ``None`` leaves it as the source has it.

    ``options`` are laid over the source's, one by one; everything else replaces.
    """

    description: Annotated[str, Meta(max_length=200)] | None = None
    system: Annotated[str, Meta(max_length=LONGEST_SYSTEM)] | None = None
    messages: Annotated[tuple[Message, ...], Meta(max_length=MAX_MESSAGES)] | None = None
    options: Options = Options()
    quantization: Quantization | None = None
    dtype: Dtype | None = None
    device: Device | None = None
    template: Annotated[str, Meta(max_length=LONGEST_GIVEN_TEMPLATE)] | None = None
    json_mode: bool | None = None
    keep_alive: Annotated[str, Meta(max_length=32)] | None = None
    fallbacks: Annotated[tuple[str, ...], Meta(max_length=MAX_FALLBACKS)] | None = None
    license: Annotated[str, Meta(max_length=LONGEST_LICENSE)] | None = None


def alias_create(*, name: str, source: str, settings: Settings = Settings()) -> Alias:
    """Make ``name`` stand for ``source``, a model or an alias, in place of an older alias.

    What the source alias says is copied, and who may ask for it where not everybody may: a later
    change of it changes nothing here. Raises ``InvalidRequest`` for a name that is none or that a
    model has, and ``ModelNotFound``.
    """
    settings = _checked(settings)
    wanted = canonical_name(name)
    target = alias_resolve(source)
    copied = alias_find(canonical_name(source))
    with transaction.atomic():
        if ModelRecord.objects.filter(name__iexact=wanted).exists():
            raise InvalidRequest(f"'{wanted}' is a model on this machine. Choose another name.")
        alias = alias_find(wanted) or Alias()
        alias.name = wanted
        _fill(alias, target, settings)
        if copied and copied.visibility == Alias.Visibility.SOME:
            alias_save(alias)
            alias.visibility = copied.visibility
            alias.users.set(copied.users.all())
            alias.groups.set(copied.groups.all())
        alias_save(alias)
    return alias


def alias_copy(*, source: str, destination: str) -> Alias | None:
    """Give ``source``, a model or an alias, another name as well; under its own it stays as it is."""
    if canonical_name(source).lower() == canonical_name(destination).lower():
        return alias_resolve(source).alias
    return alias_create(name=destination, source=source)


def alias_change(*, pk: int, changes: Mapping[str, Any]) -> Alias:
    """Change these fields of an alias as it is now, and no others; ``NotFound`` if it has gone."""
    with transaction.atomic():
        alias = Alias.objects.select_for_update().filter(pk=pk).first()
        if alias is None:
            raise NotFound("There is no such alias.")
        for name, value in changes.items():
            setattr(alias, name, value)
        alias_save(alias, only=changes)
    return alias


def alias_delete(*, name: str, along: Iterable[str] = ()) -> None:
    """Remove the alias; its model stays.

    ``ModelNotFound`` if there is no such alias, ``AliasHeld`` if another names it that is not removed
    ``along`` with it.
    """
    leaving = names_comparable(along)
    with transaction.atomic():
        alias = _alias_lock(canonical_name(name))
        if alias is None:
            raise ModelNotFound.named(name)
        if holders := [other for other in names_on(alias) if other.lower() not in leaving]:
            raise AliasHeld(alias.name, holders)
        alias.delete()


def _alias_lock(name: str) -> Alias | None:
    """The alias with this canonical name, which nobody else changes before the transaction has ended."""
    return Alias.objects.select_for_update().filter(name__iexact=name).first()


def _checked(settings: Settings) -> Settings:
    """``settings``, within their bounds."""
    try:
        return msgspec.convert(msgspec.to_builtins(settings), Settings)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"This alias cannot be made: {error}") from error


def _fill(alias: Alias, target: Target, settings: Settings) -> None:
    sources = _sources(target)
    alias.provider = target.provider
    alias.model = target.record.name
    alias.revision = _pinned(target)
    alias.enabled = True
    alias.options = msgspec.to_builtins(settings.options.over(target.options), str_keys=True)
    given_fields = msgspec.json.decode(msgspec.json.encode(settings))
    for name in _REPLACED:
        given = given_fields[name]
        setattr(alias, name, _said(sources, name) if given is None else given)
    # A Modelfile shows the model's own template: it is to stay that when the model gets a newer one.
    if alias.template and alias.template.strip() == template_of(target.record.path).strip():
        alias.template = ""


def _sources(target: Target) -> list[Alias]:
    """The alias that was asked for and the one that this names, as far as there are any."""
    if target.alias is None:
        return []
    inner = alias_find(target.alias.model)
    return [target.alias, inner] if inner else [target.alias]


def _said(sources: list[Alias], name: str) -> Any:
    """The field ``name`` of the first of ``sources`` that says anything, as all of them together do."""
    said = (getattr(source, name) for source in sources)
    return next((value for value in said if value not in _UNSAID), getattr(Alias(), name))


def _pinned(target: Target) -> str:
    """The commit that ``target`` has to be of: what names the model itself says it."""
    sources = [] if target.missing else _sources(target)
    return sources[-1].revision if sources else ""


def alias_save(alias: Alias, *, only: Iterable[str] | None = None) -> None:
    """Store ``alias``, or ``only`` these fields of it, if it passes its checks.

    ``InvalidRequest`` says which it does not, also where somebody else has just taken its name.
    """
    try:
        alias.full_clean()
    except ValidationError as error:
        raise InvalidRequest(f"This alias cannot be made: {' '.join(error.messages)}") from error
    try:
        with transaction.atomic():
            # The one that it names is not deleted before this is stored.
            _alias_lock(alias.model)
            alias.save(update_fields=None if only is None else {*only, "modified"})
    except IntegrityError as error:
        raise InvalidRequest(f"There is an alias '{alias.name}' already. Choose another name.") from error
