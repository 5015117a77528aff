"""What a page of the admin says before it deletes: how much goes, rather than each part of it.

Django's names everything that goes along, each under what it belongs to: an answer under its question, and
so a conversation as deep as it is long, at which it fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.utils import NestedObjects
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model
from django.http import HttpRequest
from django.utils.text import capfirst


class DeletingByCount(ModelAdmin):
    """Names what was chosen, and counts what goes along."""

    def along_with(self, chosen: Sequence[Any]) -> Sequence[Model]:
        """All of its own kind that is deleted with what was ``chosen``."""
        return chosen

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        chosen = list(objs)
        going = NestedObjects(using=DEFAULT_DB_ALIAS, origin=chosen)
        going.collect(self.along_with(chosen))
        kinds = {kind: len(found) for kind, found in going.data.items()}
        return (
            [f"{capfirst(self.opts.verbose_name)}: {one}" for one in chosen],
            {str(kind._meta.verbose_name_plural): count for kind, count in kinds.items()},
            {str(kind._meta.verbose_name) for kind in kinds if not self._may_delete(kind, request)},
            [str(one) for one in going.protected],
        )

    def _may_delete(self, kind: type[Model], request: HttpRequest) -> bool:
        """Whether ``request`` may; what the admin has no page of goes with what it has."""
        site = self.admin_site
        return not site.is_registered(kind) or site.get_model_admin(kind).has_delete_permission(request)
