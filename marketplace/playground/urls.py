"""The playground's page."""

from django.urls import path

from marketplace.playground import views

urlpatterns = [path("playground/", views.playground, name="playground")]
