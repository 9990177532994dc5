"""REST addresses of this app, below ``/api/v1/``."""

from django.urls import path

from marketplace.moderation.api import ReportView

urlpatterns = [path("adapters/<str:owner>/<str:name>/report/", ReportView.as_view(), name="api-report")]
