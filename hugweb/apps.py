from django.apps import AppConfig


class HugWebConfig(AppConfig):
    name = "hugweb"
    verbose_name = "HugWeb"
