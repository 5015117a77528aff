"""``manage.py apikey create|list|revoke``: the keys of the API."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from rich.console import Console
from rich.table import Table

from hugweb.database import database_prepare
from hugweb.management.command import HugWebCommand
from inference.errors import InferenceError
from inference.keys.models import ApiKey, Scope
from inference.keys.selectors import key_get, key_list
from inference.keys.services import DEFAULT_SCOPES, key_create, key_revoke

LONGEST_DAYS = 36_500
ONCE = "This is the only time that the key is shown: keep it."


class Command(HugWebCommand):
    help = "Make, list and revoke API keys."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="create|list|revoke")
        create = actions.add_parser("create", help="make a key and print it, once")
        create.add_argument("name", help="what the key is for")
        create.add_argument("--user", help="whose key it is; default: the only user")
        create.add_argument(
            "--scope",
            action="append",
            choices=Scope.values,
            help="what it may be used for (repeatable); default: generate and read",
        )
        create.add_argument("--days", type=int, help="days until it expires; default: never")
        create.add_argument("--model", action="append", default=[], help="a model it may ask (repeatable)")
        create.add_argument("--per-minute", type=int, help="most requests a minute")
        create.add_argument("--tokens-per-day", type=int, help="most tokens a day, of prompts and answers")
        create.add_argument("--bytes-per-request", type=int, help="largest body of a request, in bytes")
        listing = actions.add_parser("list", help="list keys")
        listing.add_argument("--user", help="only this user's")
        revoke = actions.add_parser("revoke", help="let a key open nothing any more")
        revoke.add_argument("prefix", help="how the key begins, as `list` shows it")
        for action in (create, listing):
            action.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, action: str, **given: Any) -> None:
        database_prepare(self.stderr.write)
        try:
            {"create": self._create, "list": self._list, "revoke": self._revoke}[action](given)
        except InferenceError as error:
            raise CommandError(error.message) from error

    def _create(self, given: dict[str, Any]) -> None:
        key, token = key_create(
            user=_owner(given["user"]),
            name=given["name"],
            scopes=given["scope"] or DEFAULT_SCOPES,
            allowed_models=given["model"],
            requests_per_minute=given["per_minute"],
            tokens_per_day=given["tokens_per_day"],
            bytes_per_request=given["bytes_per_request"],
            expires=_expiry(given["days"]),
        )
        if given["json"]:
            self.stdout.write(json.dumps(_described(key) | {"key": token}))
        else:
            self.stdout.write(token)
            self.stderr.write(ONCE)

    def _list(self, given: dict[str, Any]) -> None:
        keys = key_list(user=_user(given["user"]) if given["user"] else None)
        if given["json"]:
            self.stdout.write(json.dumps([_described(key) for key in keys], indent=2))
            return
        table = Table("key", "name", "user", "scopes", "state", "last used")
        for key in keys:
            used = f"{key.last_used:%Y-%m-%d %H:%M}" if key.last_used else "never"
            scopes = " ".join(key.scopes)
            table.add_row(f"hw_{key.prefix}…", key.name, key.user.get_username(), scopes, key.state, used)
        Console(markup=False, highlight=False).print(table)

    def _revoke(self, given: dict[str, Any]) -> None:
        key = key_get(given["prefix"])
        key_revoke(key=key)
        self.stdout.write(f"Revoked {key}.")


def _user(name: str) -> User:
    user = User.objects.filter(username=name).first()
    if user is None:
        raise CommandError(
            f"There is no user {name!r}. People are made in the admin, or by `createsuperuser`."
        )
    return user


def _owner(name: str | None) -> User:
    if name:
        return _user(name)
    users = list(User.objects.filter(is_active=True)[:2])
    if len(users) != 1:
        raise CommandError("Say whose key it is to be: --user NAME.")
    return users[0]


def _expiry(days: int | None) -> datetime | None:
    if days is None:
        return None
    if not 1 <= days <= LONGEST_DAYS:
        raise CommandError(f"--days is {days}; allowed is 1 to {LONGEST_DAYS}.")
    return timezone.now() + timedelta(days=days)


def _described(key: ApiKey) -> dict[str, Any]:
    return {
        "prefix": f"hw_{key.prefix}",
        "name": key.name,
        "user": key.user.get_username(),
        "scopes": key.scopes,
        "models": key.allowed_models,
        "requests_per_minute": key.requests_per_minute,
        "tokens_per_day": key.tokens_per_day,
        "bytes_per_request": key.bytes_per_request,
        "state": key.state,
        "created": key.created.isoformat(),
        "expires": key.expires.isoformat() if key.expires else None,
        "last_used": key.last_used.isoformat() if key.last_used else None,
    }
