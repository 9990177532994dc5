"""REST addresses of this app, below ``/api/v1/``."""

from django.urls import path

from marketplace.evaluations import api, example_api

urlpatterns = [
    path(
        "adapters/<str:owner>/<str:name>/evaluations/",
        api.AdapterEvaluationsView.as_view(),
        name="api-adapter-evaluations",
    ),
    path(
        "adapters/<str:owner>/<str:name>/evaluations/hidden/<uuid:suite_id>/",
        api.HiddenResultView.as_view(),
        name="api-adapter-evaluation-hidden",
    ),
    path(
        "adapters/<str:owner>/<str:name>/evaluations/compared/",
        example_api.ComparedVersionsView.as_view(),
        name="api-adapter-evaluations-compared",
    ),
    path(
        "adapters/<str:owner>/<str:name>/evaluations/<uuid:run_id>/",
        example_api.AdapterRunView.as_view(),
        name="api-adapter-evaluation",
    ),
    path("suites/", api.SuitesView.as_view(), name="api-suites"),
    path("suites/<uuid:suite_id>/", api.SuiteView.as_view(), name="api-suite"),
    path("suites/<uuid:suite_id>/examples/", example_api.SuiteExamplesView.as_view(), name="api-suite-examples"),
]
