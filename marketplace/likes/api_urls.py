"""REST addresses of this app, below ``/api/v1/``."""

from django.urls import path

from marketplace.likes import api

urlpatterns = [path("adapters/<str:owner>/<str:name>/like/", api.LikeView.as_view(), name="api-adapter-like")]
