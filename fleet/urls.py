"""Every address of the portal, beside the ASGI routes in `fleet.asgi`."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

from alerts.urls import api_urlpatterns as alerts_api
from alerts.urls import urlpatterns as alerts_pages
from fleet import metrics, pages, system
from fleet.accounts.urls import api_urlpatterns as accounts_api
from fleet.accounts.urls import urlpatterns as accounts_pages
from integrations.channels.urls import urlpatterns as channel_pages
from integrations.sources.smartcar.urls import api_urlpatterns as smartcar_api
from integrations.sources.smartcar.urls import server_urlpatterns as smartcar_server
from integrations.sources.smartcar.urls import urlpatterns as smartcar_pages
from telemetry.urls import api_urlpatterns as telemetry_api
from telemetry.urls import urlpatterns as telemetry_pages
from vehicles.urls import api_urlpatterns as vehicles_api
from vehicles.urls import urlpatterns as vehicles_pages

handler400 = "fleet.pages.bad_request"
handler403 = "fleet.pages.forbidden"
handler404 = "fleet.pages.not_found"
handler500 = "fleet.pages.server_error"

urlpatterns = [
    path("health", pages.health, name="health"),
    path("ready", pages.ready, name="ready"),
    path("metrics", metrics.metrics, name="metrics"),
    path("system", system.SystemPage.as_view(), name="system"),
    path("docs", pages.Docs.as_view(), name="docs"),
    path("redoc", pages.redoc, name="redoc"),
    path("admin/", admin.site.urls),
    path("accounts/2fa/", include("allauth.mfa.urls")),
    path("accounts/sessions/", include("allauth.usersessions.urls")),
    path("accounts/", include("allauth.account.urls")),
    path("api/v1/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/v1/", include([*accounts_api, *alerts_api, *smartcar_api, *telemetry_api, *vehicles_api])),
    *smartcar_server,
    path("api/<path:rest>", pages.api_not_found),
    *accounts_pages,
    *alerts_pages,
    *channel_pages,
    *smartcar_pages,
    *telemetry_pages,
    *vehicles_pages,
]
