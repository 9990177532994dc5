"""Every address. Owner names equal to a first path segment here are reserved (``accounts.names``)."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

handler400 = "marketplace.core.error_pages.bad_request"
handler403 = "marketplace.core.error_pages.forbidden"
handler404 = "marketplace.core.error_pages.not_found"
handler500 = "marketplace.core.error_pages.server_error"

API_APPS = [
    "accounts",
    "bases",
    "adapters",
    "catalog",
    "jobs",
    "compositions",
    "playground",
    "moderation",
    "evaluations",
    "notifications",
    "regressions",
    "likes",
]

urlpatterns = [
    path("", include("marketplace.core.urls")),
    path("admin/", admin.site.urls),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="api-docs"),
    path("api/v1/", include([path("", include(f"marketplace.{app}.api_urls")) for app in API_APPS])),
    path("", include("marketplace.accounts.urls")),
    path("", include("marketplace.bases.urls")),
    path("", include("marketplace.catalog.urls")),
    path("", include("marketplace.jobs.urls")),
    path("", include("marketplace.compositions.urls")),
    path("", include("marketplace.playground.urls")),
    path("", include("marketplace.moderation.urls")),
    path("", include("marketplace.evaluations.urls")),
    path("", include("marketplace.notifications.urls")),
    path("", include("marketplace.regressions.urls")),
    path("", include("marketplace.likes.urls")),
    # Last: /{owner}/{name} would swallow the others.
    path("", include("marketplace.adapters.urls")),
]
