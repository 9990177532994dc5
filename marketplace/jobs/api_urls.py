"""REST addresses of this app, below ``/api/v1/``."""

from django.urls import path

from marketplace.jobs import api

urlpatterns = [
    path("jobs/", api.JobsView.as_view(), name="api-jobs"),
    path("jobs/<uuid:job_id>/", api.JobView.as_view(), name="api-job"),
    path("jobs/<uuid:job_id>/cancel/", api.JobCancelView.as_view(), name="api-job-cancel"),
    path("jobs/<uuid:job_id>/retry/", api.JobRetryView.as_view(), name="api-job-retry"),
    path("jobs/<uuid:job_id>/events/", api.JobEventsView.as_view(), name="api-job-events"),
]
