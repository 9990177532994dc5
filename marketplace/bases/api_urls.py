"""REST addresses of this app, below ``/api/v1/``."""

from django.urls import path

from marketplace.bases import api

urlpatterns = [
    path("bases/", api.BasesView.as_view(), name="api-bases"),
    # A base's name may have a slash, as a hub's ids do.
    path("bases/<path:name>/", api.BaseView.as_view(), name="api-base"),
]
