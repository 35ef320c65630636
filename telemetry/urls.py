from django.urls import path

from telemetry import api, lists_api, views

urlpatterns = [
    path("", views.Overview.as_view(), name="overview"),
    path("vehicles", views.Vehicles.as_view(), name="vehicles"),
    path("vehicles/<str:vehicle>", views.VehiclePage.as_view(), name="vehicle"),
]
api_urlpatterns = [
    path("vehicles/latest", api.AllLatest.as_view()),
    path("vehicles/<str:vehicle>/latest", api.Latest.as_view()),
    path("vehicles/<str:vehicle>/history", api.History.as_view()),
    path("vehicles/<str:vehicle>/summary", api.Summary.as_view()),
    path("signals", lists_api.Signals.as_view()),
    path("rejected", lists_api.Rejected.as_view()),
    path("ws-tickets", api.Tickets.as_view()),
]
