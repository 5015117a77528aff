"""The addresses of the chat."""

from __future__ import annotations

from django.urls import path

from conversations import views

urlpatterns = [
    path("chat/", views.chat, name="chat"),
    path("chat/<uuid:conversation_id>/", views.conversation, name="conversation"),
    path("chat/<uuid:conversation_id>/rename/", views.conversation_rename, name="conversation-rename"),
    path("chat/<uuid:conversation_id>/delete/", views.conversation_delete, name="conversation-delete"),
]
