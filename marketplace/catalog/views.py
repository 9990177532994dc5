"""Home and catalogue."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.urls import is_valid_path
from django.views.decorators.http import require_safe

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.catalog import selectors
from marketplace.catalog.home import home as read_home
from marketplace.catalog.types import FORGETS, CatalogFilters, FacetValue, SearchPage
from marketplace.core.errors import Gone, Invalid, NotFound
from marketplace.evaluations.models import Standing
from marketplace.evaluations.verdicts import FORGETS_TITLE

#: Bricks in a full course of the home page's wall; every second course has one fewer, as masons lay them.
_COURSE = 5
SORTS = [
    ("newest", "Newest"),
    ("downloads", "Most downloaded"),
    ("likes", "Most liked"),
    ("gain", "Gain over base"),
    ("name", "Name"),
]


@dataclass(frozen=True)
class FacetLink:
    """One value of a facet: ``href`` turns it on, or off when it is on."""

    label: str
    count: int
    active: bool
    href: str


@dataclass(frozen=True)
class Facet:
    title: str
    links: list[FacetLink]


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    shown = read_home()
    return render(request, "catalog/home.html", {"home": shown, "courses": _courses(shown.wall)})


def _courses(adapters: list[Adapter]) -> list[list[Adapter | None]]:
    """The wall from the top: running bond, built from the ground, so that an unfinished course is the uppermost."""
    courses: list[list[Adapter | None]] = []
    rest: list[Adapter | None] = list(adapters)
    while rest:
        width = _COURSE - len(courses) % 2
        # Gaps keep an unfinished course half a brick beside the one below.
        courses.insert(0, rest[-width:] + [None] * (width - len(rest)))
        rest = rest[:-width]
    return courses


@require_safe
def catalogue(request: HttpRequest) -> HttpResponse:
    query = request.GET.get("q", "").strip()
    fault = None
    try:
        filters = CatalogFilters.from_params(request.GET)
        page = selectors.search(user=request.user, query=query, filters=filters, cursor=request.GET.get("cursor", ""))
    except Invalid as error:
        fault, filters, page = error, CatalogFilters(), SearchPage(results=[], mode="browse")
    context = {
        "query": query,
        "filters": filters,
        "page": page,
        "facets": _facets(query, filters, page),
        "chosen": _chosen(query, filters),
        "sorts": SORTS,
        "grid": request.GET.get("view") == "grid",
        "fault": fault,
    }
    status = fault.status if fault else 200
    response = render(request, "catalog/catalogue.html", context, status=status)
    response["Vary"] = "HX-Request, Cookie"
    return response


def _href(query: str, filters: CatalogFilters) -> str:
    return f"?{filters.to_params(query)}"


def _facets(query: str, filters: CatalogFilters, page: SearchPage) -> list[Facet]:
    """The counted values as links; a chosen value stays listed even when nothing else matches."""

    def links(name: str, chosen: str, words: dict[str, str] | None = None) -> list[FacetLink]:
        values = list(page.facets.get(name, []))
        if chosen and chosen not in [value.value for value in values]:
            values.insert(0, FacetValue(chosen, 0))
        return [
            FacetLink(
                (words or {}).get(value.value, value.value),
                value.count,
                value.value == chosen,
                _href(query, filters.without(**{name: "" if value.value == chosen else value.value})),
            )
            for value in values
        ]

    tags = [
        FacetLink(
            value.value,
            value.count,
            value.value in filters.tags,
            _href(query, filters.without(tags=_toggled(filters.tags, value.value))),
        )
        for value in page.facets.get("tag", [])
    ]
    facets = [
        Facet("Base", links("base", filters.base)),
        Facet("Tags", tags),
        Facet("Made by", links("origin", filters.origin, dict(ORIGINS))),
        Facet("Measured", links("verdict", filters.verdict, _VERDICTS)),
        Facet("Licence", links("license", filters.license)),
    ]
    return [facet for facet in facets if facet.links]


_VERDICTS = {
    **{str(value): label for value, label in Standing.Verdict.choices},
    FORGETS: FORGETS_TITLE,
}
ORIGINS = [("upload", "training"), ("merge", "merging")]


def _toggled(tags: tuple[str, ...], tag: str) -> tuple[str, ...]:
    return tuple(other for other in tags if other != tag) if tag in tags else (*tags, tag)


def _chosen(query: str, filters: CatalogFilters) -> list[FacetLink]:
    """What narrows the list now, each with the link that takes it away."""
    found = [
        FacetLink(f"tag {tag}", 0, True, _href(query, filters.without(tags=_toggled(filters.tags, tag))))
        for tag in filters.tags
    ]
    for name, words in [
        ("base", "base"),
        ("owner", "by"),
        ("license", "licence"),
        ("origin", "made by"),
        ("verdict", "measured:"),
    ]:
        value = getattr(filters, name)
        if value:
            label = {**dict(ORIGINS), **_VERDICTS}.get(value, value)
            found.append(FacetLink(f"{words} {label}", 0, True, _href(query, filters.without(**{name: ""}))))
    for name, words in [("rank_min", "rank from"), ("rank_max", "rank to")]:
        value = getattr(filters, name)
        if value is not None:
            found.append(FacetLink(f"{words} {value}", 0, True, _href(query, filters.without(**{name: None}))))
    return found


@require_safe
def owner(request: HttpRequest, owner: str) -> HttpResponse:
    """``/{owner}`` leads to what the owner shows; a page's address without its last slash to the page."""
    if is_valid_path(f"/{owner}/"):
        return redirect(f"/{owner}/")
    filters = CatalogFilters(owner=owner)
    if not selectors.search(user=request.user, filters=filters).results and owner != request.user.get_username():
        if User.objects.filter(username__iexact=owner, erased_at__isnull=False).exists():
            raise Gone(f"The account {owner} was deleted. Nobody else gets its name.", code="account_deleted")
        raise NotFound(f"There is nobody named {owner} with an adapter to show.")
    return redirect(f"/catalogue/?{filters.to_params()}")


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """Browsers ask for it where no page names an icon."""
    return redirect(static("img/brick.svg"))
