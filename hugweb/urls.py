"""All addresses."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path, re_path

from hugweb import fallback, health, models_page, owner
from hugweb.api.graphql.views import graphql
from hugweb.api.streaming import stream_message
from hugweb.login import LogInForm

urlpatterns = [
    path("", fallback.root),
    path("api/", include("hugweb.api.ollama.urls")),
    path("v1/", include("hugweb.api.openai.urls")),
    path("v1/", include("hugweb.api.anthropic.urls")),
    path("", include("hugweb.api.extras.urls")),
    path("rest/", include("hugweb.api.rest.urls")),
    path("graphql", graphql),
    path("stream-message", stream_message),
    path("", include("conversations.urls")),
    path("models/", models_page.page, name="models"),
    path("models/", include(models_page.urls)),
    path("", include("inference.usage.urls")),
    path("admin/", admin.site.urls),
    path("login/", LoginView.as_view(authentication_form=LogInForm), name="login"),
    path("login/<str:uid>/<str:token>/", owner.log_in_once, name="login-once"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("health/models", health.models),
    path("metrics", health.metrics),
    re_path(r"^(?:api|v1|rest|graphql|stream-message|health)(?:/|$)", fallback.unknown),
    re_path(r"^/", fallback.doubled),
]

handler400 = fallback.bad_request
handler403 = fallback.forbidden
handler404 = fallback.not_found
handler500 = fallback.server_error
