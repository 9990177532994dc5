"""REST addresses of this app, below ``/api/v1/``."""

from django.urls import path

from marketplace.bases import api

urlpatterns = [
    path("bases/", api.BasesView.as_view(), name="api-bases"),
    path("base-names/", api.BaseNamesView.as_view(), name="api-base-names"),
    # A base's name may have a slash, as a hub's ids do; none ends with the words that stand behind a name here.
    path("bases/<path:name>/aliases/<path:alias>/", api.BaseAliasView.as_view(), name="api-base-alias"),
    path("bases/<path:name>/aliases/", api.BaseAliasesView.as_view(), name="api-base-aliases"),
    path("bases/<path:name>/reading/", api.BaseReadingView.as_view(), name="api-base-reading"),
    path("bases/<path:name>/", api.BaseView.as_view(), name="api-base"),
]
