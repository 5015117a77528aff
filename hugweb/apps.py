import gc

from django.apps import AppConfig, apps
from django.contrib.admin import apps as admin_apps
from django.db.models.signals import post_migrate


class HugWebAdminConfig(admin_apps.AdminConfig):
    """Django's admin, with our site as its frame."""

    default = False
    default_site = "hugweb.admin_site.HugWebAdminSite"


class HugWebConfig(AppConfig):
    default = True
    name = "hugweb"
    verbose_name = "HugWeb"

    def ready(self) -> None:
        from hugweb.groups import groups_create

        # Django makes permissions after migrating, app by app: this is the last one that has any.
        post_migrate.connect(groups_create, sender=apps.get_app_config("conversations"))
        # All apps are imported: ``manage.py`` did that without the garbage collector.
        gc.enable()
