"""The addresses of Ollama's native API, under ``/api/``."""

from django.urls import path

from hugweb.api.ollama import generating, views

urlpatterns = [
    path("version", views.version),
    path("status", views.status),
    path("tags", views.tags),
    path("ps", views.ps),
    path("chat", generating.chat),
    path("generate", generating.generate),
]
