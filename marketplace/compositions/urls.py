"""Pages of combining."""

from django.urls import path

from marketplace.compositions import views

urlpatterns = [
    path("combine/", views.combine, name="combine"),
    path("combine/pick", views.pick, name="pick"),
]
