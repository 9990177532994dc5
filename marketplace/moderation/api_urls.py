"""REST addresses of this app, below ``/api/v1/``."""

from django.urls import path

from marketplace.moderation.api import BlocksView, BlockView, ReportView
from marketplace.moderation.decision_api import DecisionsView, DescendantsView

urlpatterns = [
    path("adapters/<str:owner>/<str:name>/report/", ReportView.as_view(), name="api-report"),
    path(
        "moderation/adapters/<str:owner>/<str:name>/descendants/",
        DescendantsView.as_view(),
        name="api-moderation-descendants",
    ),
    path(
        "moderation/adapters/<str:owner>/<str:name>/decisions/",
        DecisionsView.as_view(),
        name="api-moderation-decisions",
    ),
    path("moderation/blocks/", BlocksView.as_view(), name="api-blocks"),
    path("moderation/blocks/<str:sha256>/", BlockView.as_view(), name="api-block"),
]
