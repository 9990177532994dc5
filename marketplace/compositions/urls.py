"""Pages of combining and of saved compositions."""

from django.urls import path

from marketplace.compositions import mix_views, views

urlpatterns = [
    path("combine/", views.combine, name="combine"),
    path("combine/pick", views.pick, name="pick"),
    path("mixes/", mix_views.mix_list, name="mixes"),
    path("mixes/new", mix_views.mix_new, name="mix-new"),
    path("mix/<str:owner>/<str:mix>", mix_views.mix_page, name="mix"),
    path("mix/<str:owner>/<str:mix>/edit", mix_views.mix_edit, name="mix-edit"),
    path("mix/<str:owner>/<str:mix>/delete", mix_views.mix_delete, name="mix-delete"),
]
