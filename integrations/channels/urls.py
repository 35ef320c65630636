from django.urls import path

from integrations.channels import email_views, push_views

urlpatterns = [
    path("sw.js", push_views.service_worker),
    path("alerts/unsubscribe/<str:token>", email_views.Unsubscribe.as_view(), name="alerts-unsubscribe"),
    path("alerts/confirm/<str:token>", email_views.Confirm.as_view(), name="alerts-confirm"),
]
