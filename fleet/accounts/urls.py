from django.urls import path

from fleet.accounts import api, views

urlpatterns = [
    path("organizations/new", views.OrganizationNew.as_view(), name="organization-new"),
    path("organizations/switch", views.OrganizationSwitch.as_view(), name="organization-switch"),
    path("setup/<str:token>", views.Setup.as_view(), name="setup"),
    path("tokens", views.TokensPage.as_view(), name="tokens"),
    path("theme", views.Theme.as_view(), name="theme"),
]
api_urlpatterns = [
    path("auth/token", api.TokenObtain.as_view()),
    path("auth/refresh", api.TokenRefresh.as_view()),
    path("auth/me", api.Me.as_view()),
    path("tokens", api.Tokens.as_view()),
    path("tokens/<int:token_id>", api.TokenDetail.as_view()),
    path("audit", api.Audit.as_view()),
]
