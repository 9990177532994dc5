"""Pages of this app."""

from django.urls import path

from marketplace.likes import views

urlpatterns = [path("<str:owner>/<str:name>/like", views.like, name="adapter-like")]
