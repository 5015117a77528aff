"""Compiles the templates of the pages before anybody asks for one.

Django compiles each when it is first used and keeps it; an admin page uses some fifty, which cost its
first reader a fifth of a second and more.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.contrib import admin
from django.template import TemplateDoesNotExist, TemplateSyntaxError
from django.template.loader import get_template
from django.template.utils import get_app_template_dirs

logger = logging.getLogger(__name__)

# Others' folders that pages of ours are made of.
SHARED = ("unfold", Path(admin.__file__).parent.name)


# The engine starts meanwhile, and who has only one core waits for that first.
LATER_SECONDS = 5.0


def compile_begin() -> None:
    """Compile in a thread, a few seconds from now."""
    timer = threading.Timer(LATER_SECONDS, templates_compile)
    timer.daemon = True
    timer.start()


def templates_compile() -> int:
    """Compile every template of ours, of unfold's and of Django's admin; how many there are."""
    count = 0
    for name in sorted(set(_names())):
        try:
            get_template(name)
        except (TemplateDoesNotExist, TemplateSyntaxError):
            # For an app of theirs that is not installed here.
            logger.debug("%s was not compiled.", name)
        else:
            count += 1
    return count


def _names() -> Iterator[str]:
    folders = [Path(folder) for folder in get_app_template_dirs("templates")]
    shared = [folder for folder in folders if folder.parent.name in SHARED]
    for folder in (settings.BASE_DIR / "templates", *shared):
        for file in folder.rglob("*.html"):
            yield file.relative_to(folder).as_posix()
