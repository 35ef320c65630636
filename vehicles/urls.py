from django.urls import path

from vehicles import api, views

urlpatterns = [
    path("devices", views.DevicesPage.as_view(), name="devices"),
    path("devices/<dev_id:device_id>", views.DeviceActions.as_view(), name="device"),
]
api_urlpatterns = [
    path("vehicles", api.Vehicles.as_view()),
    path("vehicles/<vehicle:vehicle>", api.VehicleDetail.as_view()),
    path("devices", api.Devices.as_view()),
    path("devices/<dev_id:device_id>", api.DeviceDetail.as_view()),
    path("devices/<dev_id:device_id>/rotate", api.DeviceRotate.as_view()),
]
