from django.apps import AppConfig


class KeysConfig(AppConfig):
    name = "inference.keys"
    label = "keys"
    verbose_name = "API keys"
