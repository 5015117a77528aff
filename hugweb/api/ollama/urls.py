"""The addresses of Ollama's native API, under ``/api/``."""

from django.urls import path

from hugweb.api.ollama import views

urlpatterns = [
    path("version", views.version),
    path("tags", views.tags),
    path("ps", views.ps),
    path("chat", views.chat),
    path("generate", views.generate),
]
