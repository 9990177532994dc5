"""REST addresses of this app, below ``/api/v1/``."""

from django.urls import path

from marketplace.accounts.api import ExportView, MeView, TokenListView, TokenView

urlpatterns = [
    path("me/", MeView.as_view(), name="api-me"),
    path("me/export/", ExportView.as_view(), name="api-account-export"),
    path("tokens/", TokenListView.as_view(), name="api-tokens"),
    path("tokens/<int:token_id>/", TokenView.as_view(), name="api-token"),
]
