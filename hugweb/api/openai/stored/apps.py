from django.apps import AppConfig


class StoredConfig(AppConfig):
    name = "hugweb.api.openai.stored"
    label = "stored_responses"
    verbose_name = "Responses"
