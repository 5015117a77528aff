"""The addresses of the chat."""

from __future__ import annotations

from django.urls import path

from conversations import uploads, views

urlpatterns = [
    path("chat/", views.chat, name="chat"),
    path("chat/models/", views.chat_models, name="chat-models"),
    path("chat/<uuid:conversation_id>/", views.conversation, name="conversation"),
    path("chat/<uuid:conversation_id>/rename/", views.conversation_rename, name="conversation-rename"),
    path("chat/<uuid:conversation_id>/delete/", views.conversation_delete, name="conversation-delete"),
    path("attachments/", uploads.upload, name="upload"),
    path("attachments/<uuid:attachment_id>/", uploads.attachment, name="attachment"),
    path("attachments/<uuid:attachment_id>/remove/", uploads.remove, name="attachment-remove"),
]
