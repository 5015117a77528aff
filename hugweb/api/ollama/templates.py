"""Templates that come with requests: Jinja, as models' own are."""

from __future__ import annotations

from aliases.target import Target
from aliases.templates import template_checked
from inference.store.contents import template_of


def template_given(template: str, target: Target) -> str:
    """``template`` where it is another than ``target`` has, as ``/api/show`` gives it; else empty.

    ``InvalidRequest`` for one that is not Jinja or shows no messages. Reads a file.
    """
    given = template_checked(template)
    known = target.template or template_of(target.record.path)
    return "" if given.strip() == known.strip() else given
