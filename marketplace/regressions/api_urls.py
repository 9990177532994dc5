"""REST addresses of this app, below ``/api/v1/``."""

from django.urls import path

from marketplace.regressions import api

urlpatterns = [
    path("watches/", api.WatchesView.as_view(), name="api-watches"),
    path("watches/<int:watch_id>/", api.WatchView.as_view(), name="api-watch"),
]
