"""From the name that a client writes to the model that answers: what there is, and who may ask for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator

from django.contrib.auth.models import Group, User
from django.db.models import Exists, Q, QuerySet

from aliases.models import Alias
from aliases.names import canonical_name, names_comparable
from aliases.target import Target
from inference.asker import asker
from inference.errors import Forbidden, ModelNotFound, ProviderDisabled
from inference.models import ModelRecord
from inference.protocol import LoadedModel
from inference.providers.configs import models_offered, models_preferred, providers_off


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


def names_on(alias: Alias) -> list[str]:
    """The aliases that name ``alias``, and would stand for nothing without it."""
    if ModelRecord.objects.filter(name__iexact=alias.name).exists():
        return []
    others = Alias.objects.filter(model__iexact=alias.name).exclude(pk=alias.pk)
    return list(others.values_list("name", flat=True))


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


def models_named(user: int | None) -> Iterator[tuple[ModelRecord, Alias | None]]:
    """What can be asked for by name: every model that is offered, then once more for each alias of it that
    ``user``, by primary key, may ask for."""
    records = {record.name.lower(): record for record in models_offered()}
    yield from ((record, None) for record in records.values())
    aliases = list(aliases_visible(user))
    models = alias_models(aliases)
    for alias in aliases:
        if record := records.get(models[alias.name.lower()]):
            yield record, alias


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
    if who.models and names_comparable(who.models).isdisjoint(_names(name, target)):
        raise Forbidden(f"This key may not ask for '{target.model.name}'.")
    if target.provider in off:
        raise ProviderDisabled.named(target.provider)
    return target


def alternatives(target: Target) -> list[Target]:
    """What may answer in the place of ``target``, in order, for whoever asks: its fallbacks that are here."""
    off = providers_off()
    names = map(canonical_name, target.fallbacks)
    found = (_target(name, asker().user, off, fall_back=False) for name in names)
    return [other.in_place_of(target) for other in found if other and other.provider not in off]


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
        return Target.of(record) if record else None
    base = _base(alias)
    own = base.under(alias) if base else None
    if (own and own.provider not in off) or not fall_back:
        return own
    return _stood_in(alias, user, off) or own


def _stood_in(alias: Alias, user: int | None, off: Collection[str]) -> Target | None:
    """``alias``, whose model is not here, by the first of its fallbacks that is."""
    inner = _inner(alias)
    for name in alias.fallbacks or (inner.fallbacks if inner else ()):
        found = _target(canonical_name(name), user, off, fall_back=False)
        if found and found.provider not in off:
            words = Target.of(found.record)
            for each in filter(None, (inner, alias)):
                words = words.under(each)
            return dataclasses.replace(found.in_place_of(words), missing=alias.model)
    return None


def _base(alias: Alias) -> Target | None:
    """What ``alias`` adds to: a model of the revision it wants, or another alias of one."""
    if record := model_find(alias.model):
        return Target.of(record) if record.revision.startswith(alias.revision) else None
    other = _inner(alias)
    record = model_find(other.model) if other else None
    if other is None or record is None or not record.revision.startswith(other.revision):
        return None
    return Target.of(record).under(other)


def _inner(alias: Alias) -> Alias | None:
    """The alias that ``alias`` names, if it names one."""
    return Alias.objects.filter(enabled=True, name__iexact=alias.model).exclude(pk=alias.pk).first()
