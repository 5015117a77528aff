"""The files of the page and of the admin, served from where they lie: nothing is collected first."""

from __future__ import annotations

from wsgiref.headers import Headers

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from servestatic.asgi import ServeStaticASGI

from hugweb.asgi_types import Application


def with_static_files(app: Application) -> Application:
    """``app``, with the static files in front of it.

    As an ASGI wrapper and not as Django's middleware: servestatic's would be one more layer that
    every API request has to pass, and a sync one anywhere keeps a client's leaving from cancelling
    the view that works for it.
    """
    files = ServeStaticASGI(
        app,
        autorefresh=settings.DEBUG,
        allow_all_origins=False,
        add_headers_function=_add_headers,
    )
    # The first finder wins, and with servestatic the last addition does.
    for finder in reversed(list(get_finders())):
        for storage in getattr(finder, "storages", {}).values():
            files.add_files(storage.location, prefix=settings.STATIC_URL)
    return files


def _add_headers(headers: Headers, path: str, url: str) -> None:
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
