"""The two groups that every home begins with. What they may do can be changed in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, Permission

USERS, MANAGERS = "users", "managers"
# Managers need staff status besides, to enter the admin. They see whose conversations there are, but
# not what was said in them.
MANAGING = {
    "aliases": ("add_alias", "change_alias", "delete_alias", "view_alias"),
    "inference": (
        *("change_modelrecord", "view_modelrecord"),
        *("change_providerconfig", "view_providerconfig"),
    ),
    "keys": ("add_apikey", "delete_apikey", "view_apikey"),
    "usage": ("view_usageday", "view_usagerecord"),
    "conversations": ("view_conversation",),
    "auth": ("view_user", "view_group"),
}


def groups_create(**_: Any) -> None:
    """Make the groups that are missing; those that are there stay as they are."""
    Group.objects.get_or_create(name=USERS)
    managers, is_new = Group.objects.get_or_create(name=MANAGERS)
    if is_new:
        for app, names in MANAGING.items():
            found = Permission.objects.filter(content_type__app_label=app, codename__in=names)
            managers.permissions.add(*found)
