"""The addresses of Anthropic's Messages API, under ``/v1/``."""

from django.urls import path

from hugweb.api.anthropic import views

urlpatterns = [
    path("messages", views.messages),
    path("messages/count_tokens", views.count_tokens),
]
