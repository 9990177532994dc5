"""Home and catalogue."""

from django.urls import path

from marketplace.catalog import views

urlpatterns = [
    path("", views.home, name="home"),
    path("favicon.ico", views.favicon, name="favicon"),
    path("catalogue/", views.catalogue, name="catalogue"),
]
