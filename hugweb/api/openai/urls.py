"""The addresses of OpenAI's API, under ``/v1/``."""

from django.urls import path

from hugweb.api.openai import listing, moderations
from hugweb.api.openai.audio import views as audio
from hugweb.api.openai.chat.views import chat_completions, stored_completion
from hugweb.api.openai.completions.views import completions
from hugweb.api.openai.embeddings.views import embeddings
from hugweb.api.openai.images import views as images
from hugweb.api.openai.responses import views as responses

urlpatterns = [
    path("chat/completions", chat_completions),
    path("chat/completions/<str:id>", stored_completion),
    path("chat/completions/<str:id>/messages", stored_completion),
    path("completions", completions),
    path("embeddings", embeddings),
    path("models", listing.models),
    path("models/<path:name>", listing.model),
    path("images/generations", images.generations),
    path("images/edits", images.edits),
    path("images/variations", images.variations),
    path("audio/transcriptions", audio.transcriptions),
    path("audio/translations", audio.translations),
    path("audio/speech", audio.speech),
    path("responses", responses.responses),
    path("responses/input_tokens", responses.input_tokens),
    path("responses/compact", responses.compact),
    path("responses/<str:id>", responses.response),
    path("responses/<str:id>/input_items", responses.input_items),
    path("responses/<str:id>/cancel", responses.cancel),
    path("moderations", moderations.moderations),
]
