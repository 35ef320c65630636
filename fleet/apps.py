from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class FleetConfig(AppConfig):
    name = "fleet"

    def ready(self) -> None:
        from fleet import checks, schema  # noqa: F401, PLC0415  (they register themselves)
        from fleet.accounts import refresh_tokens  # noqa: F401, PLC0415


class PortalAdminConfig(AdminConfig):
    default_site = "fleet.admin_site.PortalAdminSite"
