"""Pages of this app."""

from django.urls import path

from marketplace.bases import views

urlpatterns = [
    path("bases/", views.base_list, name="bases"),
    path("bases/answer/<str:owner>/<str:name>/", views.answer, name="base-answer"),
    path("bases/register/", views.register, name="base-register"),
    # A base's name may have a slash, as a hub's ids do.
    path("bases/<path:name>/change/", views.change, name="base-change"),
    path("bases/<path:name>/reading/", views.reread, name="base-reread"),
    path("bases/<path:name>/aliases/", views.aliases, name="base-aliases"),
    path("bases/<path:name>/delete/", views.delete, name="base-delete"),
    path("bases/<path:name>/", views.base_page, name="base"),
]
