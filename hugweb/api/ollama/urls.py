"""The addresses of Ollama's native API, under ``/api/``."""

from django.urls import path

from hugweb.api.ollama import aliasing, blobs, embedding, generating, pulls, show, views

urlpatterns = [
    path("version", views.version),
    path("status", views.status),
    path("tags", views.tags),
    path("ps", views.ps),
    path("chat", generating.chat),
    path("generate", generating.generate),
    path("embed", embedding.embed),
    path("embeddings", embedding.embeddings),
    path("show", show.show),
    path("create", aliasing.create),
    path("copy", aliasing.copy),
    path("push", aliasing.push),
    path("blobs/<str:digest>", blobs.blob),
    path("pull", pulls.pull),
    path("delete", pulls.delete),
]
