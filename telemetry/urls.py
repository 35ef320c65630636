from django.urls import path

from telemetry import api, lists_api, rejected_views, views
from telemetry.commands import api as commands_api
from telemetry.commands import views as commands_views

urlpatterns = [
    path("", views.Overview.as_view(), name="overview"),
    path("vehicles", views.Vehicles.as_view(), name="vehicles"),
    path("vehicles/<vehicle:vehicle>", views.VehiclePage.as_view(), name="vehicle"),
    path("vehicles/<vehicle:vehicle>/controls", commands_views.Controls.as_view(), name="controls"),
    path("rejected", rejected_views.RejectedPage.as_view(), name="rejected"),
    path("signals", rejected_views.SignalsPage.as_view(), name="signals"),
    path("signals/<str:name>", rejected_views.SignalPage.as_view(), name="signal"),
    path("vehicles/<vehicle:vehicle>/diagnostics", commands_views.Diagnostics.as_view(), name="diagnostics"),
]
api_urlpatterns = [
    path("vehicles/latest", api.AllLatest.as_view()),
    path("vehicles/<vehicle:vehicle>/latest", api.Latest.as_view()),
    path("vehicles/<vehicle:vehicle>/history", api.History.as_view()),
    path("vehicles/<vehicle:vehicle>/summary", api.Summary.as_view()),
    path("vehicles/<vehicle:vehicle>/commands", commands_api.VehicleCommands.as_view()),
    path("vehicles/<vehicle:vehicle>/settings", commands_api.Settings.as_view()),
    path("commands", commands_api.Commands.as_view()),
    path("commands/<uuid:command_id>", commands_api.CommandDetail.as_view()),
    path("dtcs", commands_api.TroubleCodes.as_view()),
    path("signals", lists_api.Signals.as_view()),
    path("signals/<str:name>", lists_api.SignalDetail.as_view()),
    path("rejected", lists_api.Rejected.as_view()),
    path("rejected/counts", lists_api.RejectedCounts.as_view()),
    path("ws-tickets", api.Tickets.as_view()),
]
