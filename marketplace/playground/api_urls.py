"""REST addresses of this app, below ``/api/v1/``."""

from django.urls import path

from marketplace.playground import api

urlpatterns = [path("generations/", api.generations, name="api-generations")]
