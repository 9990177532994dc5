"""REST addresses of this app, below ``/api/v1/``."""

from django.urls import path

from marketplace.notifications import api

urlpatterns = [
    path("notifications/", api.NotificationsView.as_view(), name="api-notifications"),
    path("notifications/read/", api.MarkReadView.as_view(), name="api-notifications-read"),
    path("me/letters/", api.LettersView.as_view(), name="api-letters"),
]
