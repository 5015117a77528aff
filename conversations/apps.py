"""The application's name and label."""

from django.apps import AppConfig


class ConversationsConfig(AppConfig):
    name = "conversations"
    verbose_name = "Conversations"

    def ready(self) -> None:
        from django.contrib.auth import get_user_model
        from django.db.models.signals import post_delete, post_save

        from conversations.attachments import attachment_deleted
        from conversations.models import Attachment
        from conversations.sockets import user_saved

        post_save.connect(user_saved, sender=get_user_model(), dispatch_uid="conversations.sockets")
        post_delete.connect(attachment_deleted, sender=Attachment, dispatch_uid="conversations.attachments")
