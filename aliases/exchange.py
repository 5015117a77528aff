"""Aliases as JSON: to look at, to carry to another machine, to keep as a backup.

Written is ``{"aliases": {NAME: {…}}}``. Read is that, and also a registry as command-line runners
for transformers keep it: names with ``model_id``, ``system_prompt``, ``load_in_8bit`` and generation
parameters by transformers' names, flat or under ``parameters``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import QuerySet
from msgspec import Struct

from aliases.arguments import FLAGS
from aliases.models import Alias
from aliases.names import canonical_name
from aliases.services import alias_save
from inference.errors import InvalidRequest
from inference.models import ModelRecord
from inference.protocol import Options

LONGEST = 16 * 2**20
# All of them in one transaction, at some milliseconds each; others who write wait for it 20 s at most.
MOST = 2000
_OPTIONS = {field.name: field.name for field in msgspec.structs.fields(Options)}
_OPTION_NAMES = {**{flag: name for name, flag in FLAGS.items()}, **_OPTIONS}
_FIELD_NAMES = {
    "model_id": "model",
    "model_name": "model",
    "system_prompt": "system",
    "chat_template": "template",
    "torch_dtype": "dtype",
    "precision": "dtype",
    "device_map": "device",
}
# What torch and its users call number formats.
_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "half": "float16", "fp32": "float32", "float": "float32"}
_NESTED = {"options", "parameters", "generation", "params"}
_PRECISIONS = {"load_in_8bit": "int8", "load_in_4bit": "int4"}


class Entry(Struct, kw_only=True):
    """The types of an alias's fields; ``Alias`` itself knows their limits."""

    model: str
    revision: str = ""
    provider: str = "huggingface"
    description: str = ""
    system: str = ""
    messages: list[dict[str, Any]] = []
    options: dict[str, Any] = {}
    json_mode: bool = False
    quantization: str = "none"
    dtype: str = "auto"
    device: str = "auto"
    template: str = ""
    keep_alive: str = ""
    fallbacks: list[str] = []
    visibility: str = "everyone"
    enabled: bool = True
    license: str = ""
    users: list[str] = []
    groups: list[str] = []


_COLUMNS = tuple(name for name in Entry.__struct_fields__ if name not in {"users", "groups"})


class Imported(NamedTuple):
    """The aliases that were made or changed, and what was not understood: ``alias: field``."""

    names: tuple[str, ...]
    left_out: tuple[str, ...]


def alias_described(alias: Alias) -> dict[str, Any]:
    """Everything that ``alias`` says, but for what is as it would be anyway."""
    plain = Alias()
    described = {name: getattr(alias, name) for name in _COLUMNS}
    described = {name: value for name, value in described.items() if value != getattr(plain, name)}
    members = {
        "users": sorted(user.get_username() for user in alias.users.all()),
        "groups": sorted(group.name for group in alias.groups.all()),
    }
    return described | {name: names for name, names in members.items() if names}


def aliases_export(aliases: QuerySet[Alias]) -> str:
    """``aliases`` as a JSON text."""
    found = aliases.prefetch_related("users", "groups")
    described = {alias.name: alias_described(alias) for alias in found}
    return msgspec.json.format(msgspec.json.encode({"aliases": described}), indent=2).decode() + "\n"


@transaction.atomic
def aliases_import(text: str) -> Imported:
    """Make or replace the aliases of ``text``: all, or none where ``InvalidRequest`` is raised.

    Models need not be here yet: an alias whose model is not answers that it is not found.
    """
    entries = _entries(text)
    left_out: list[str] = []
    for name, entry in entries.items():
        fields, unknown = _understood(entry)
        left_out += (f"{name}: {field}" for field in unknown)
        left_out += _store(name, fields)
    return Imported(tuple(entries), tuple(left_out))


def _entries(text: str) -> dict[str, dict[str, Any]]:
    if len(text) > LONGEST:
        raise InvalidRequest(f"The file is too long: at most {LONGEST} characters.")
    try:
        found: Any = msgspec.json.decode(text)
        if isinstance(found, dict):
            found = found.get("aliases", found)
        if isinstance(found, list):
            found = {entry.pop("alias", None) or entry.pop("name"): entry for entry in found}
        entries: dict[str, dict[str, Any]] = msgspec.convert(found, dict[str, dict[str, Any]])
    except (msgspec.DecodeError, RecursionError, AttributeError, KeyError, TypeError) as error:
        raise InvalidRequest(f"This is no JSON file of aliases: {error}") from error
    if len(entries) > MOST:
        raise InvalidRequest(f"{len(entries)} aliases are too many; at most {MOST} are taken.")
    return entries


def _understood(entry: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The fields of an alias that ``entry`` gives, and the names of what means nothing to us."""
    fields: dict[str, Any] = {}
    options: dict[str, Any] = {}
    unknown = []
    for name, value in entry.items():
        if name in _NESTED and isinstance(value, dict):
            inner, unknown_inner = _understood_options(value)
            options |= inner
            unknown += unknown_inner
        elif name in _PRECISIONS:
            fields |= {"quantization": _PRECISIONS[name]} if value else {}
        elif (field := _FIELD_NAMES.get(name, name)) in Entry.__struct_fields__:
            fields[field] = _dtype(value) if field == "dtype" else value
        elif name in _OPTION_NAMES:
            options[_OPTION_NAMES[name]] = value
        else:
            unknown.append(name)
    if options:
        fields["options"] = {name: value for name, value in options.items() if value is not None}
    return {name: value for name, value in fields.items() if value is not None}, unknown


def _dtype(value: object) -> object:
    """A number format by our name."""
    name = str(value).lower().removeprefix("torch.")
    return _DTYPES.get(name, name) if isinstance(value, str) else value


def _understood_options(given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    known = {_OPTION_NAMES[name]: value for name, value in given.items() if name in _OPTION_NAMES}
    return known, [name for name in given if name not in _OPTION_NAMES]


def _store(name: str, fields: dict[str, Any]) -> list[str]:
    """Make or replace an alias; who of those it is for is not here."""
    wanted = canonical_name(name)
    if ModelRecord.objects.filter(name__iexact=wanted).exists():
        raise InvalidRequest(f"'{wanted}' is a model on this machine: an alias cannot have its name.")
    try:
        entry = msgspec.convert(fields, Entry)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"'{wanted}' is no alias: {error}") from error
    alias = Alias.objects.filter(name__iexact=wanted).first() or Alias()
    for field in _COLUMNS:
        setattr(alias, field, getattr(entry, field))
    alias.name = wanted
    alias_save(alias)
    return _admit(alias, entry)


def _admit(alias: Alias, entry: Entry) -> list[str]:
    """Let the users and groups of ``entry`` see ``alias``; the names of those that are not here."""
    users = User.objects.filter(username__in=entry.users)
    groups = Group.objects.filter(name__in=entry.groups)
    alias.users.set(users)
    alias.groups.set(groups)
    here = {user.get_username() for user in users} | {group.name for group in groups}
    return [f"{alias.name}: {name}" for name in (*entry.users, *entry.groups) if name not in here]
