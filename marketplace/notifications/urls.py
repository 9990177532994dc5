"""Pages of notifications."""

from django.urls import path

from marketplace.notifications import views

urlpatterns = [
    path("notifications/", views.notification_list, name="notifications"),
    path("notifications/read", views.read_all, name="notifications-read"),
    path("notifications/<int:notification_id>", views.open_one, name="notification"),
    path("account/letters", views.letters, name="account-letters"),
]
