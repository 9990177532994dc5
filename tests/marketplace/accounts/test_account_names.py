"""No owner can take a name that an address of the site begins with."""

from __future__ import annotations

import pytest
from django.urls import path, re_path
from django.views.generic import View

from marketplace.accounts import names


def test_first_segments_come_from_the_urlconf() -> None:
    segments = names.first_segments()
    assert {"admin", "api"} <= segments
    assert not any("<" in segment or "/" in segment for segment in segments)


def test_every_first_segment_of_the_urlconf_is_reserved() -> None:
    for segment in names.first_segments():
        assert names.is_reserved(segment), segment
        assert names.is_reserved(segment.upper()), segment


def test_variables_and_nested_includes_are_understood() -> None:
    view = View.as_view()
    patterns = [
        path("<str:owner>/<str:name>", view),
        path("shelf/<int:pk>/", view),
        path("healthz", view),
        re_path(r"^legacy/(?P<pk>\d+)$", view),
        re_path(r"^(?P<anything>.*)$", view),
        path("", view),
    ]
    assert names.first_segments(patterns) == {"shelf", "healthz", "legacy"}


@pytest.mark.parametrize("name", ["mix", "Auto", "static", "media", "models", "datasets", "spaces", "v1", "API"])
def test_reserved_words(name: str) -> None:
    assert names.is_reserved(name)


@pytest.mark.parametrize("name", ["ada", "grace-hopper", "model5", "play"])
def test_ordinary_names_are_free(name: str) -> None:
    assert not names.is_reserved(name)
    assert not names.is_protected(name)


@pytest.mark.parametrize("name", ["Meta_Llama", "open-ai", "Official", "moder_ator"])
def test_names_that_would_deceive_are_protected_in_every_spelling(name: str) -> None:
    assert names.is_protected(name)
