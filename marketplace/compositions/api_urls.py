"""REST addresses of this app, below ``/api/v1/``."""

from django.urls import path

from marketplace.compositions import api, mix_api
from marketplace.compositions.lab import api as lab_api
from marketplace.compositions.pairs import api as pair_api

urlpatterns = [
    path("merges/", api.MergesView.as_view(), name="api-merges"),
    path("merges/methods/", api.MergeMethodsView.as_view(), name="api-merge-methods"),
    path("merges/check/", api.MergeCheckView.as_view(), name="api-merge-check"),
    path("merges/comparisons/", pair_api.ComparisonsView.as_view(), name="api-merge-comparisons"),
    path("adapters/<str:owner>/<str:name>/partners/", pair_api.PartnersView.as_view(), name="api-adapter-partners"),
    path("merges/previews/", lab_api.PreviewsView.as_view(), name="api-merge-previews"),
    path("merges/sweeps/", lab_api.SweepsView.as_view(), name="api-merge-sweeps"),
    path("merges/sweeps/<uuid:sweep_id>/", lab_api.SweepView.as_view(), name="api-merge-sweep"),
    path("merges/recipes/", lab_api.RecipesView.as_view(), name="api-merge-recipes"),
    path("adapters/<str:owner>/<str:name>/recipe/", lab_api.RecipeView.as_view(), name="api-adapter-recipe"),
    path("adapters/<str:owner>/<str:name>/clusters/", lab_api.ClustersView.as_view(), name="api-adapter-clusters"),
    path("adapters/<str:owner>/<str:name>/lineage/", lab_api.LineageView.as_view(), name="api-adapter-lineage"),
    path("mixes/", mix_api.MixesView.as_view(), name="api-mixes"),
    path("mixes/<str:owner>/<str:mix>/", mix_api.MixView.as_view(), name="api-mix"),
    path("mixes/<str:owner>/<str:mix>/evaluations/", mix_api.MixEvaluationsView.as_view(), name="api-mix-evaluations"),
]
