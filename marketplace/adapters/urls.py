"""Pages of adapters. Last in the site's table: two free segments match nearly everything."""

from django.urls import path

from marketplace.adapters import life_urls
from marketplace.adapters.exports import views as exports
from marketplace.adapters.imports import views as imports
from marketplace.adapters.views import access, adapter, cards, files, owner, upload
from marketplace.catalog.views import owner as owner_page

urlpatterns = [
    path("upload/", upload.upload, name="upload"),
    path("upload/card-preview", cards.preview, name="card-preview"),
    path("upload/parts/discard", upload.discard_parts, name="upload-parts-discard"),
    path("upload/<uuid:upload_id>", upload.upload_read, name="upload-read"),
    path("upload/<uuid:upload_id>/reading", upload.upload_reading, name="upload-reading"),
    path("upload/<uuid:upload_id>/recheck", upload.recheck, name="upload-recheck"),
    path("upload/<uuid:upload_id>/discard", upload.discard, name="upload-discard"),
    path("import/", imports.import_page, name="import"),
    path("exports/", exports.exports_page, name="exports"),
    path("exports/<uuid:export_id>/archive.zip", exports.archive, name="export-archive"),
    path("exports/<uuid:export_id>/files/<path:path>", exports.file, name="export-file"),
    path("exports/<uuid:export_id>/discard", exports.discard, name="export-discard"),
    path("<str:owner>", owner_page, name="owner"),
    path("<str:owner>/<str:name>", adapter.adapter_page, name="adapter"),
    path("<str:owner>/<str:name>/versions", adapter.versions_page, name="adapter-versions"),
    path("<str:owner>/<str:name>/compare", cards.compare, name="adapter-compare"),
    path("<str:owner>/<str:name>/card", cards.edit_card, name="adapter-card"),
    path("<str:owner>/<str:name>/edit", owner.edit, name="adapter-edit"),
    path("<str:owner>/<str:name>/visibility", owner.visibility, name="adapter-visibility"),
    path("<str:owner>/<str:name>/access", access.access, name="adapter-access"),
    path("<str:owner>/<str:name>/access/request", access.ask, name="adapter-access-ask"),
    path("<str:owner>/<str:name>/access/withdraw", access.withdraw, name="adapter-access-withdraw"),
    path("<str:owner>/<str:name>/access/openness", access.openness, name="adapter-openness"),
    path("<str:owner>/<str:name>/access/answer", access.answer, name="adapter-access-answer"),
    path("<str:owner>/<str:name>/access/collaborators", access.collaborators, name="adapter-collaborators"),
    path(
        "<str:owner>/<str:name>/access/collaborators/<str:username>", access.collaborator, name="adapter-collaborator"
    ),
    path("<str:owner>/<str:name>/delete", owner.delete, name="adapter-delete"),
    path("<str:owner>/<str:name>/report", owner.report, name="adapter-report"),
    path("<str:owner>/<str:name>/export", exports.start, name="adapter-export"),
    path("<str:owner>/<str:name>/archive/<str:revision>.zip", files.archive, name="adapter-archive"),
    path("<str:owner>/<str:name>/files/<str:revision>/<path:path>", files.file, name="adapter-file"),
    *life_urls.urlpatterns,
]
