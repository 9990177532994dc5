"""REST addresses of this app, below ``/api/v1/``."""

from django.urls import path

from marketplace.compositions import api, mix_api

urlpatterns = [
    path("merges/", api.MergesView.as_view(), name="api-merges"),
    path("merges/methods/", api.MergeMethodsView.as_view(), name="api-merge-methods"),
    path("merges/check/", api.MergeCheckView.as_view(), name="api-merge-check"),
    path("mixes/", mix_api.MixesView.as_view(), name="api-mixes"),
    path("mixes/<str:owner>/<str:mix>/", mix_api.MixView.as_view(), name="api-mix"),
]
