"""Pages of jobs."""

from django.urls import path

from marketplace.jobs import events, views

urlpatterns = [
    path("jobs/", views.job_list, name="jobs"),
    path("jobs/<uuid:job_id>", views.job_page, name="job"),
    path("jobs/<uuid:job_id>/cancel", views.cancel, name="job-cancel"),
    path("jobs/<uuid:job_id>/retry", views.retry, name="job-retry"),
    path("jobs/<uuid:job_id>/events", events.job_events, name="job-events"),
]
