"""The addresses of OpenAI's API, under ``/v1/``."""

from django.urls import path

from hugweb.api.openai.chat.views import chat_completions

urlpatterns = [
    path("chat/completions", chat_completions),
]
