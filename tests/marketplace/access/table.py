"""Every address of the site with the class of its answers. A new address needs a line here, or the walk fails.

``line(name, GET=…, POST=…)``: the name in the URLconf, and per method what ``grids`` calls the class. A method that is
left out is not allowed (405). Bodies need only be good enough for the question of rights to be asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.marketplace.access import grids
from tests.marketplace.access.grids import (
    ASK,
    ASK_PAGE,
    DECIDE,
    EDIT,
    LEAVE,
    LOAD,
    MINE,
    MINE_REST,
    OPEN,
    OWN,
    SEE,
    SIGNED_IN,
    STAFF,
    USE,
    USE_SIGNED,
    WITHDRAW,
    Grid,
)
from tests.marketplace.access.world import World

Body = Callable[[World, str, str], dict[str, Any]]  # (world, role, state)


@dataclass(frozen=True)
class Line:
    """``answers`` maps methods to grids, ``bodies`` to what is sent with them."""

    name: str
    answers: dict[str, Grid]
    bodies: dict[str, Body]
    #: The body names the adapter, not the path.
    by_body: bool = False
    #: Another entry of the URLconf has the same name; this one has these variables.
    variables: frozenset[str] | None = None


LINES: list[Line] = []


def line(name: str, *, bodies: dict[str, Any] | None = None, by_body: bool = False, **answers: Grid) -> None:
    made: dict[str, Body] = {}
    for method, body in (bodies or {}).items():
        made[method.lower()] = body if callable(body) else (lambda *_, body=body: body)
    LINES.append(Line(name, {method.lower(): grid for method, grid in answers.items()}, made, by_body))


def _upload(world: World, role: str, state: str) -> dict[str, Any]:
    return {"upload": world.uploads.get(world.person(role), world.uploads["owner"]), "message": "Next"}


def _members(world: World, role: str, state: str) -> dict[str, Any]:
    return {"members": [{"adapter": f"owner/{state}"}]}


def _merge(world: World, role: str, state: str) -> dict[str, Any]:
    return {**_members(world, role, state), "name": f"of-{state}", "method": "cat"}


def _preview(world: World, role: str, state: str) -> dict[str, Any]:
    return {**_members(world, role, state), "method": "cat", "prompts": ["x"]}


def _sweep(world: World, role: str, state: str) -> dict[str, Any]:
    return {**_members(world, role, state), "method": "cat", "examples": [{"prompt": "x", "expected": "y"}]}


def _generation(world: World, role: str, state: str) -> dict[str, Any]:
    return {**_members(world, role, state), "prompt": "x", "stream": True}


# --- one adapter, pages ----------------------------------------------------------------------------------------------
line("adapter", GET=SEE)
line("adapter-versions", GET=SEE)
line("adapter-compare", GET=grids.COMPARE)
line("adapter-access", GET=SEE)
line("adapter-report", GET=SEE, POST=SEE, bodies={"POST": {"reason": "spam"}})
line("adapter-archive", GET=LOAD)
line("adapter-file", GET=LOAD)
line("adapter-edit", GET=EDIT, POST=EDIT)
line("adapter-card", GET=EDIT, POST=EDIT)
line("version-yank", POST=EDIT)
line("version-unyank", POST=EDIT)
line("version-deprecate", POST=EDIT)
line("version-undeprecate", POST=EDIT)
line("adapter-visibility", POST=OWN, bodies={"POST": {"visibility": "private"}})
line("adapter-delete", GET=OWN, POST=OWN)
line("adapter-openness", POST=OWN)
line("adapter-settings", GET=OWN)
line("adapter-rename", POST=OWN)
line("adapter-offer", POST=OWN)
line("adapter-offer-withdraw", POST=OWN)
line("adapter-access-answer", POST=OWN, bodies={"POST": {"asker": "waiting", "decision": "approve"}})
line("adapter-collaborators", POST=OWN, bodies={"POST": {"username": "stranger", "role": "read"}})
line("adapter-collaborator", POST=LEAVE)
line("adapter-access-ask", POST=ASK_PAGE)
line("adapter-access-withdraw", POST=WITHDRAW)

line("adapter-purge", POST=grids.RESTORE)
line("adapter-restore", POST=grids.RESTORE)
line("adapter-export", POST=grids.EXPORT_PAGE, bodies={"POST": {"format": "gguf"}})
line("adapter-recipe", GET=SEE)
line("adapter-mergekit", GET=grids.IN_NO_FORM)
line("adapter-replay", POST=grids.IN_WORDS)
line("base-answer", POST=grids.IN_WORDS)
line("adapter-like", POST=grids.IN_WORDS)
line("adapter-evaluations", GET=SEE)
line("adapter-evaluate", POST=EDIT)
line("adapter-evaluation", GET=grids.EVALUATED)
line("adapter-evaluation-hide", POST=OWN)

# --- one adapter, REST -----------------------------------------------------------------------------------------------
line("api-adapter", GET=SEE, PATCH=EDIT, DELETE=OWN)
line("api-adapter-versions", GET=SEE, POST=EDIT, bodies={"POST": _upload})
line("api-adapter-similar", GET=SEE)
line("api-adapter-like", PUT=grids.IN_WORDS, DELETE=grids.IN_WORDS)
line("api-adapter-evaluations", GET=SEE, POST=EDIT)
line("api-adapter-evaluation", GET=grids.EVALUATED)
line("api-adapter-evaluations-compared", GET=grids.COMPARE, bodies={"GET": {"from": "main", "to": "main"}})
line("api-adapter-evaluation-hidden", PUT=grids.OWN_IN_WORDS, DELETE=OWN)
line("api-adapter-clusters", GET=grids.HAS_NONE)
line("api-adapter-lineage", GET=SEE)
line("api-adapter-recipe", GET=SEE, POST=grids.REPLAY)
line("api-adapter-compare", GET=grids.COMPARE, bodies={"GET": {"from": "main", "to": "main"}})
line("api-adapter-card", GET=SEE, PUT=EDIT, bodies={"PUT": {"text": "# Other"}})
line("api-report", POST=grids.REPORT, bodies={"POST": {"reason": "spam"}})
line("api-adapter-file", GET=LOAD)
line("api-adapter-archive", GET=LOAD)
line("api-access", GET=SEE, POST=ASK, PATCH=OWN, DELETE=WITHDRAW, bodies={"POST": {"agree": True}})
line("api-access-requests", GET=OWN)
line("api-access-answer", PATCH=OWN, bodies={"PATCH": {"state": "approved"}})
line("api-collaborators", GET=OWN, POST=OWN, bodies={"POST": {"username": "stranger"}})
line("api-collaborator", PATCH=OWN, DELETE=LEAVE, bodies={"PATCH": {"role": "write"}})
line("api-adapter-purge", POST=grids.RESTORE)
line("api-adapter-restore", POST=grids.RESTORE)
line("api-adapter-exports", POST=USE_SIGNED, bodies={"POST": {"format": "gguf"}})
line("api-adapter-rename", POST=OWN, bodies={"POST": {"name": "other"}})
line("api-adapter-transfer", POST=OWN, DELETE=grids.TAKE_BACK, bodies={"POST": {"receiver": "reader"}})
line("api-version-yank", PUT=EDIT, DELETE=EDIT, bodies={"PUT": {"reason": "Wrong."}})
line("api-version-deprecation", PUT=EDIT, DELETE=EDIT, bodies={"PUT": {"message": "Old."}})

# --- mixes: the owner's, of the public adapter ------------------------------------------------------------------------
line("mixes", GET=OPEN)
line("mix-evaluate", POST=SIGNED_IN)
line("api-mix-evaluations", GET=OPEN, POST=SIGNED_IN)
line("mix", GET=OPEN)
line("mix-new", GET=SIGNED_IN, POST=SIGNED_IN)
for _name in ("mix-edit", "mix-delete"):
    line(_name, GET=grids.SHOWN, POST=grids.SHOWN)
line("api-mixes", GET=OPEN, POST=SIGNED_IN, bodies={"POST": {"name": "x", "members": [{"adapter": "owner/public"}]}})
line("api-mix", GET=OPEN, PATCH=grids.SHOWN, DELETE=grids.SHOWN)

# --- adapters named in the body --------------------------------------------------------------------------------------
line("api-merge-check", POST=USE, by_body=True, bodies={"POST": _members})
line("api-merge-comparisons", POST=USE_SIGNED, by_body=True, bodies={"POST": _members})
line("api-adapter-partners", GET=USE, POST=USE_SIGNED)
line("api-merges", POST=USE_SIGNED, by_body=True, bodies={"POST": _merge})
line("api-merge-previews", POST=USE_SIGNED, by_body=True, bodies={"POST": _preview})
line("api-merge-sweeps", POST=USE_SIGNED, by_body=True, bodies={"POST": _sweep})
line("api-generations", POST=USE, by_body=True, bodies={"POST": _generation})

# --- everybody -------------------------------------------------------------------------------------------------------
for _name in ("home", "catalogue", "favicon", "healthz", "readyz", "metrics", "schema", "pick"):
    line(_name, GET=OPEN)
line("api-adapters", GET=OPEN, POST=SIGNED_IN)
line("api-bases", GET=OPEN, POST=STAFF, bodies={"POST": {"name": "m2", "source": "org/m2"}})
line("api-base", GET=OPEN, PATCH=STAFF, DELETE=STAFF)
for _name in ("api-base-names", "api-merge-methods", "bases", "base"):
    line(_name, GET=OPEN)

line("owner", GET=OPEN)
line("suites", GET=OPEN)
line("api-suites", GET=OPEN, POST=SIGNED_IN)
line("combine", GET=OPEN, POST=OPEN)
line("combine-update", POST=OPEN)
line("combine-fit", GET=OPEN)
line("combine-compare", POST=SIGNED_IN)
line("merge-preview-create", POST=OPEN)
line("merge-sweep-create", POST=OPEN)
line("playground", GET=OPEN, POST=OPEN)
line("api-card-preview", POST=grids.READING, bodies={"POST": {"text": "# A"}})

# --- whoever is signed in, about themselves --------------------------------------------------------------------------
line("account", GET=SIGNED_IN)
line("account-profile", POST=SIGNED_IN)
line("account-tokens", POST=SIGNED_IN)
line("account-export", GET=SIGNED_IN)
line("account-close", GET=SIGNED_IN, POST=SIGNED_IN)
line("account-reopen", POST=SIGNED_IN)
line("combine-from-file", POST=SIGNED_IN)
line("upload", GET=SIGNED_IN, POST=SIGNED_IN)
line("card-preview", POST=SIGNED_IN)
line("upload-parts-discard", POST=SIGNED_IN)
line("import", GET=SIGNED_IN, POST=SIGNED_IN)
line("exports", GET=SIGNED_IN)
line("jobs", GET=SIGNED_IN)
line("api-me", GET=SIGNED_IN, PATCH=SIGNED_IN)
line("api-account-export", GET=SIGNED_IN)
line("api-tokens", GET=SIGNED_IN, POST=grids.SESSION)
line("api-uploads", GET=SIGNED_IN, POST=SIGNED_IN)
line("api-jobs", GET=SIGNED_IN)
line("api-exports", GET=SIGNED_IN)
line("api-transfers", GET=SIGNED_IN)
line("api-deleted", GET=SIGNED_IN)
line("api-shared", GET=SIGNED_IN)
line("api-my-access-requests", GET=SIGNED_IN)
line("notifications", GET=SIGNED_IN)
line("watches", GET=SIGNED_IN)
line("watch-set", POST=SIGNED_IN)
line("api-watches", GET=SIGNED_IN, POST=SIGNED_IN)
line("notifications-read", POST=SIGNED_IN)
line("account-letters", POST=SIGNED_IN)
line("api-notifications", GET=SIGNED_IN)
line("api-notifications-read", POST=SIGNED_IN)
line("api-letters", GET=SIGNED_IN, PATCH=SIGNED_IN)

# --- things of the owner's: for others they do not exist --------------------------------------------------------------
line("upload-read", GET=MINE, POST=MINE)
line("suite-new", GET=SIGNED_IN, POST=SIGNED_IN)
line("suite", GET=MINE_REST)
line("suite-edit", POST=MINE)
line("suite-delete", GET=MINE, POST=MINE)
line("api-suite", GET=MINE_REST, PATCH=MINE, DELETE=MINE)
line("api-suite-examples", GET=MINE_REST)
line("notification", POST=MINE)
line("watch", GET=MINE)
line("watch-stop", POST=MINE)
line("watch-reference", POST=MINE)
line("api-watch", GET=MINE, POST=MINE, DELETE=MINE)
for _name in ("job", "upload-reading", "merge-preview", "merge-sweep"):
    line(_name, GET=MINE)
for _name in ("job-cancel", "job-retry", "upload-recheck", "upload-discard", "account-token-revoke"):
    line(_name, POST=MINE)
line("job-events", GET=MINE_REST)
line("api-job-events", GET=MINE_REST)
line("api-job", GET=MINE_REST)
line("api-merge-sweep", GET=MINE_REST)
line("api-upload", GET=MINE_REST, DELETE=MINE)
for _name in ("api-job-cancel", "api-job-retry", "api-upload-check"):
    line(_name, POST=MINE)
line("api-token", DELETE=MINE)

# --- offers: to the stranger ------------------------------------------------------------------------------------------
line("account-offer", POST=grids.OFFERED_PAGE)
line("api-transfer-accept", POST=grids.OFFERED)
line("api-transfer-decline", POST=grids.OFFERED)

# --- staff and moderators ---------------------------------------------------------------------------------------------
line("base-register", GET=STAFF, POST=STAFF)
for _name in ("base-change", "base-reread", "base-aliases"):
    line(_name, POST=STAFF)
line("base-delete", GET=STAFF, POST=STAFF)
line("api-blocks", GET=STAFF, POST=STAFF)
line("api-moderation-descendants", GET=DECIDE)
line("api-moderation-decisions", POST=DECIDE, bodies={"POST": {"action": "quarantine", "reason": "Not wanted."}})
line("api-block", DELETE=STAFF)
line("api-base-alias", DELETE=STAFF)

line("api-base-aliases", POST=STAFF, bodies={"POST": {"alias": "m1-copy"}})
line("api-base-reading", POST=STAFF)
line("api-imports", POST=SIGNED_IN)
line("api-merge-recipes", POST=SIGNED_IN)

# --- exports of the owner's -------------------------------------------------------------------------------------------
line("export-discard", POST=MINE)
for _name in ("export-archive", "export-file"):
    line(_name, GET=MINE)
line("api-export", GET=MINE_REST, DELETE=MINE)
for _name in ("api-export-archive", "api-export-file"):
    line(_name, GET=MINE_REST)

# --- files of the owner's that arrive in pieces -----------------------------------------------------------------------
line("api-partial-uploads", GET=SIGNED_IN, POST=SIGNED_IN)
line("api-partial-upload", HEAD=MINE, PATCH=MINE, DELETE=MINE)

#: Pages of libraries (django-allauth, the browser of the schema): their own tests hold them. They answer everybody.
LIBRARY = {
    *("account_login", "account_logout", "account_inactive", "account_signup", "account_reauthenticate"),
    *("account_email", "account_email_verification_sent", "account_change_password", "account_set_password"),
    *("account_reset_password", "account_confirm_login_code", "account_confirm_email"),
    "api-docs",
    *("account_reset_password_from_key_done", "account_reset_password_from_key", "account_reset_password_done"),
}
