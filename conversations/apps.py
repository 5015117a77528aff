"""The application's name and label."""

from django.apps import AppConfig


class ConversationsConfig(AppConfig):
    name = "conversations"
    verbose_name = "Conversations"

    def ready(self) -> None:
        from django.contrib.auth import get_user_model
        from django.db.models.signals import post_save

        from conversations.sockets import user_saved

        post_save.connect(user_saved, sender=get_user_model(), dispatch_uid="conversations.sockets")
