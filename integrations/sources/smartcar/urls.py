"""Addresses of connections."""

from django.urls import path

from integrations.sources.smartcar import api, server_api, views

urlpatterns = [
    path("connections", views.Connections.as_view(), name="connections"),
    path("connections/start", views.Start.as_view(), name="connect"),
    path("connections/claim", views.Claim.as_view(), name="claim"),
    path("connections/arm", views.Arm.as_view(), name="arm-webhook"),
    path("connections/webhooks", views.Webhooks.as_view(), name="webhooks"),
    path("connections/smartcar/return", views.Return.as_view(), name="connect-return"),
    path("connections/<conn_id:link_id>", views.ConnectionActions.as_view(), name="connection"),
]
server_urlpatterns = [
    path("api/vehicles", server_api.Vehicles.as_view()),
    path("api/vehicle/<str:remote_id>/<str:what>", server_api.Vehicle.as_view()),
]
api_urlpatterns = [
    path("connections", api.Connections.as_view()),
    path("connections/<conn_id:link_id>", api.ConnectionDetail.as_view()),
    path("connections/<conn_id:link_id>/sync", api.ConnectionSync.as_view()),
    path("webhooks", api.Webhooks.as_view()),
    path("webhooks/<evt_id:event_id>/replay", api.WebhookReplay.as_view()),
]
