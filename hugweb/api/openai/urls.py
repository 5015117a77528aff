"""The addresses of OpenAI's API, under ``/v1/``."""

from django.urls import path

from hugweb.api.openai import listing
from hugweb.api.openai.chat.views import chat_completions
from hugweb.api.openai.completions.views import completions
from hugweb.api.openai.embeddings.views import embeddings

urlpatterns = [
    path("chat/completions", chat_completions),
    path("completions", completions),
    path("embeddings", embeddings),
    path("models", listing.models),
    path("models/<path:name>", listing.model),
]
