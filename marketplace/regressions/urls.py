"""Pages of what somebody watches."""

from django.urls import path

from marketplace.regressions import views

urlpatterns = [
    path("watches/", views.watch_list, name="watches"),
    path("watches/set", views.watch_set, name="watch-set"),
    path("watches/<int:watch_id>", views.watch_page, name="watch"),
    path("watches/<int:watch_id>/stop", views.watch_stop, name="watch-stop"),
    path("watches/<int:watch_id>/reference", views.watch_reference, name="watch-reference"),
]
