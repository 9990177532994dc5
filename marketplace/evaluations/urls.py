"""Pages of this app."""

from django.urls import path

from marketplace.evaluations import views

_EVALUATIONS = "<str:owner>/<str:name>/evaluations"

urlpatterns = [
    path("suites/", views.suites_page, name="suites"),
    path("suites/new", views.suite_new, name="suite-new"),
    path("suites/<uuid:suite_id>", views.suite_page, name="suite"),
    path("suites/<uuid:suite_id>/edit", views.suite_edit, name="suite-edit"),
    path("suites/<uuid:suite_id>/delete", views.suite_delete, name="suite-delete"),
    path(_EVALUATIONS, views.evaluations_page, name="adapter-evaluations"),
    path(f"{_EVALUATIONS}/run", views.run, name="adapter-evaluate"),
    path(f"{_EVALUATIONS}/hidden", views.hide, name="adapter-evaluation-hide"),
    path(f"{_EVALUATIONS}/<uuid:run_id>", views.run_page, name="adapter-evaluation"),
]
