"""Addresses of an adapter's life: pages, and REST below ``/api/v1/``."""

from django.urls import path

from marketplace.adapters import life_api
from marketplace.adapters.views import life

_PAGE, _ADAPTER = "<str:owner>/<str:name>", "adapters/<str:owner>/<str:name>"

urlpatterns = [
    path(f"{_PAGE}/settings", life.settings_page, name="adapter-settings"),
    path(f"{_PAGE}/settings/name", life.rename, name="adapter-rename"),
    path(f"{_PAGE}/settings/offer", life.offer, name="adapter-offer"),
    path(f"{_PAGE}/settings/offer/withdraw", life.withdraw_offer, name="adapter-offer-withdraw"),
    path(f"{_PAGE}/purge", life.purge, name="adapter-purge"),
    path(f"{_PAGE}/restore", life.restore, name="adapter-restore"),
    path(f"{_PAGE}/versions/<str:commit>/yank", life.yank, name="version-yank"),
    path(f"{_PAGE}/versions/<str:commit>/unyank", life.unyank, name="version-unyank"),
    path(f"{_PAGE}/versions/<str:commit>/deprecate", life.deprecate, name="version-deprecate"),
    path(f"{_PAGE}/versions/<str:commit>/undeprecate", life.undeprecate, name="version-undeprecate"),
]
api_urlpatterns = [
    path(f"{_ADAPTER}/rename/", life_api.RenameView.as_view(), name="api-adapter-rename"),
    path(f"{_ADAPTER}/transfer/", life_api.TransferView.as_view(), name="api-adapter-transfer"),
    path(f"{_ADAPTER}/purge/", life_api.PurgeView.as_view(), name="api-adapter-purge"),
    path(f"{_ADAPTER}/restore/", life_api.RestoreView.as_view(), name="api-adapter-restore"),
    path(f"{_ADAPTER}/versions/<str:commit>/yank/", life_api.YankView.as_view(), name="api-version-yank"),
    path(
        f"{_ADAPTER}/versions/<str:commit>/deprecation/",
        life_api.DeprecationView.as_view(),
        name="api-version-deprecation",
    ),
    path("transfers/", life_api.TransfersView.as_view(), name="api-transfers"),
    path("transfers/<int:transfer_id>/accept/", life_api.TransferAcceptView.as_view(), name="api-transfer-accept"),
    path("transfers/<int:transfer_id>/decline/", life_api.TransferDeclineView.as_view(), name="api-transfer-decline"),
    path("me/deleted/", life_api.DeletedView.as_view(), name="api-deleted"),
]
