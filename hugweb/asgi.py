"""The web application, from its outermost layer to Django."""

# ruff: noqa: E402

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hugweb.settings")
# Django first: what is imported below has models in it.
django_application = get_asgi_application()

from channels.routing import ProtocolTypeRouter
from django.core.signals import request_started
from django.db import close_old_connections, reset_queries

from hugweb.drain import DRAIN
from hugweb.guard import Guard
from hugweb.metrics import count_answer, measured
from hugweb.routing import websockets
from hugweb.static import with_static_files
from hugweb.streamed import streamed
from inference.usage.recorder import RECORDER

# A request begins in no thread yet, so there is nothing to put in order, which a thread was started for.
for receiver in (close_old_connections, reset_queries):
    request_started.disconnect(receiver)

RECORDER.watch(count_answer)
router = ProtocolTypeRouter({"http": django_application, "websocket": websockets})
application = measured(Guard(with_static_files(DRAIN.wrap(streamed(router)))))
