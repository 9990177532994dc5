"""Pages of combining and of saved compositions."""

from django.urls import path

from marketplace.compositions import mix_views, views
from marketplace.compositions.lab import views as lab_views
from marketplace.compositions.pairs import views as pair_views

urlpatterns = [
    path("combine/", views.combine, name="combine"),
    path("combine/update", views.update, name="combine-update"),
    path("combine/pick", views.pick, name="pick"),
    path("combine/fit", pair_views.fit, name="combine-fit"),
    path("combine/compare", pair_views.compare, name="combine-compare"),
    path("combine/from-file", lab_views.from_file, name="combine-from-file"),
    path("combine/preview", views.preview, name="merge-preview-create"),
    path("combine/previews/<uuid:preview_id>", lab_views.preview_page, name="merge-preview"),
    path("combine/sweep", views.sweep, name="merge-sweep-create"),
    path("combine/sweeps/<uuid:sweep_id>", lab_views.sweep_page, name="merge-sweep"),
    path("<str:owner>/<str:name>/recipe.json", lab_views.recipe_file, name="adapter-recipe"),
    path("<str:owner>/<str:name>/mergekit.yaml", lab_views.mergekit_file, name="adapter-mergekit"),
    path("<str:owner>/<str:name>/merge-again", lab_views.replay, name="adapter-replay"),
    path("mixes/", mix_views.mix_list, name="mixes"),
    path("mixes/new", mix_views.mix_new, name="mix-new"),
    path("mix/<str:owner>/<str:mix>", mix_views.mix_page, name="mix"),
    path("mix/<str:owner>/<str:mix>/evaluate", mix_views.mix_evaluate, name="mix-evaluate"),
    path("mix/<str:owner>/<str:mix>/edit", mix_views.mix_edit, name="mix-edit"),
    path("mix/<str:owner>/<str:mix>/delete", mix_views.mix_delete, name="mix-delete"),
]
