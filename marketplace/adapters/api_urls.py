"""REST addresses of this app, below ``/api/v1/``."""

from django.urls import path

from marketplace.adapters import access_api, api, card_api, file_api, life_urls, tus_api, upload_api
from marketplace.adapters.exports import api as exports
from marketplace.adapters.imports import api as imports

_EXPORT = "exports/<str:export_id>/"
_ADAPTER = "adapters/<str:owner>/<str:name>/"

urlpatterns = [
    path("uploads/", upload_api.UploadsView.as_view(), name="api-uploads"),
    path("uploads/tus/", tus_api.PartialUploadsView.as_view(), name="api-partial-uploads"),
    path("uploads/tus/<uuid:part_id>/", tus_api.PartialUploadView.as_view(), name="api-partial-upload"),
    path("uploads/<str:upload_id>/", upload_api.UploadView.as_view(), name="api-upload"),
    path("uploads/<str:upload_id>/check/", upload_api.UploadCheckView.as_view(), name="api-upload-check"),
    path("adapters/", api.AdaptersView.as_view(), name="api-adapters"),
    path(_ADAPTER, api.AdapterView.as_view(), name="api-adapter"),
    path(f"{_ADAPTER}versions/", api.VersionsView.as_view(), name="api-adapter-versions"),
    path(f"{_ADAPTER}card/", card_api.CardView.as_view(), name="api-adapter-card"),
    path(f"{_ADAPTER}compare/", card_api.CompareView.as_view(), name="api-adapter-compare"),
    path("cards/preview/", card_api.CardPreviewView.as_view(), name="api-card-preview"),
    path(f"{_ADAPTER}access/", access_api.AccessView.as_view(), name="api-access"),
    path(f"{_ADAPTER}access/requests/", access_api.AccessRequestsView.as_view(), name="api-access-requests"),
    path(f"{_ADAPTER}access/requests/<str:username>/", access_api.AccessAnswerView.as_view(), name="api-access-answer"),
    path(f"{_ADAPTER}collaborators/", access_api.CollaboratorsView.as_view(), name="api-collaborators"),
    path(f"{_ADAPTER}collaborators/<str:username>/", access_api.CollaboratorView.as_view(), name="api-collaborator"),
    path("me/access-requests/", access_api.MyRequestsView.as_view(), name="api-my-access-requests"),
    path("me/shared/", access_api.SharedView.as_view(), name="api-shared"),
    path(f"{_ADAPTER}similar/", api.SimilarView.as_view(), name="api-adapter-similar"),
    path(f"{_ADAPTER}files/<str:revision>/<path:path>", file_api.FileView.as_view(), name="api-adapter-file"),
    path(f"{_ADAPTER}archive/<str:revision>.zip", file_api.ArchiveView.as_view(), name="api-adapter-archive"),
    *life_urls.api_urlpatterns,
    path("imports/", imports.ImportsView.as_view(), name="api-imports"),
    path(f"{_ADAPTER}exports/", exports.AdapterExportsView.as_view(), name="api-adapter-exports"),
    path("exports/", exports.ExportsView.as_view(), name="api-exports"),
    path(_EXPORT, exports.ExportView.as_view(), name="api-export"),
    path(f"{_EXPORT}archive.zip", exports.ExportArchiveView.as_view(), name="api-export-archive"),
    path(f"{_EXPORT}files/<path:path>", exports.ExportFileView.as_view(), name="api-export-file"),
]
