"""What each class of address answers: one row per role, one column per state of the adapter.

``ok`` let through, ``in`` sign in first (401 in REST, a redirect to the sign-in page elsewhere), ``no`` refused by the
service in words (400, 409, 422), else the status. Rows that are not written follow from others: see ``row_of``.
"""

from __future__ import annotations

from tests.marketplace.access.world import STATES

Grid = dict[str, list[str]]

#: Roles that get the same as another one unless a grid has a row of their own.
_LIKE = {"waiting": "stranger", "superuser": "moderator", "suspended": "anonymous", "approved": "stranger"}

#: The others are derived, see ``columns``.
_DRAWN = [state for state in STATES if state not in ("yanked", "former")]


def grid(text: str) -> Grid:
    """The rows of a drawn table, each as long as there are states."""
    rows = {line.split()[0]: line.split()[1:] for line in text.strip().splitlines()}
    assert rows.pop("-") == [state[:3] for state in _DRAWN], "the columns are not the states"
    return {role: columns(*row) for role, row in rows.items()}


def columns(*drawn: str) -> list[str]:
    """A whole row: what is taken back is answered like what is public, and a former name like the present one."""
    assert len(drawn) == len(_DRAWN), "a row is too short or too long"
    return [*drawn, drawn[0], drawn[0]]


def unless_yanked(of: Grid, answer: str) -> Grid:
    """The same, but ``answer`` for a yanked adapter where the public one is let through."""
    place = list(STATES).index("yanked")
    changed = {role: list(row) for role, row in of.items()}
    for row in changed.values():
        row[place] = answer if row[0] == "ok" else row[place]
    return changed


def row_of(drawn: Grid, role: str, *, rest: bool, writes: bool) -> list[str]:
    """The row of ``role``, drawn or derived."""
    if role == "dead token":
        return ["in"] * len(STATES) if rest else drawn["anonymous"]
    if role == "suspended" and rest and writes:
        return row_of(drawn, "anonymous", rest=rest, writes=writes)
    if role in ("reading token", "writing token"):
        if not rest:
            return drawn["anonymous"]  # pages know sessions alone
        if role == "reading token" and writes:
            return drawn.get(role, ["403"] * len(STATES))
        return drawn.get(role, drawn["owner"])
    return drawn[role] if role in drawn else row_of(drawn, _LIKE[role], rest=rest, writes=writes)


#: Whoever may see the adapter: pages, facts, lists of versions, reports.
SEE = grid("""
-         pub gat pri qua rem del inv pen
anonymous ok  ok  404 404 404 410 404 404
stranger  ok  ok  404 404 404 410 404 404
reader    ok  ok  ok  404 404 410 404 404
writer    ok  ok  ok  404 404 410 ok  ok
owner     ok  ok  ok  ok  ok  410 ok  ok
moderator ok  ok  404 ok  ok  410 ok  ok
""")

#: A part that these adapters lack: where it were shown, it is not found.
HAS_NONE = {role: ["404" if answer == "ok" else answer for answer in row] for role, row in SEE.items()}

#: A file of a kind that these adapters' recipes cannot be written as.
IN_NO_FORM = {role: ["no" if answer == "ok" else answer for answer in row] for role, row in SEE.items()}

#: Versions beside each other: those that were not accepted are their authors' alone, whoever sees the adapter.
COMPARE = {**SEE, "moderator": columns("ok", "ok", "404", "ok", "ok", "410", "404", "404")}

#: Reports need no account, so a token of any scope will do.
REPORT = {**SEE, "reading token": SEE["owner"]}

#: Bytes of files.
LOAD = grid("""
-         pub gat pri qua rem del inv pen
anonymous ok  403 404 404 404 410 404 404
stranger  ok  403 404 404 404 410 404 404
approved  ok  ok  404 404 404 410 404 404
reader    ok  ok  ok  404 404 410 404 404
writer    ok  ok  ok  404 404 410 ok  ok
owner     ok  ok  ok  ok  404 410 ok  ok
moderator ok  403 404 ok  ok  410 ok  ok
""")

#: Merging, generating, exporting.
USE = grid("""
-         pub gat pri qua rem del inv pen
anonymous ok  403 404 404 404 410 404 404
stranger  ok  403 404 404 404 410 404 404
approved  ok  ok  404 404 404 410 404 404
reader    ok  ok  ok  404 404 410 404 404
writer    ok  ok  ok  404 404 410 no  no
owner     ok  ok  ok  no  no  410 no  no
moderator ok  403 404 no  no  410 no  no
""")
#: Of what was taken back, nothing new is made.
USE = unless_yanked(USE, "no")
#: A token of any scope may do what nobody in particular may.
USE["reading token"] = USE["owner"]
#: The same where a job is started, which needs an account.
USE_SIGNED = {**USE, "anonymous": ["in"] * len(STATES), "reading token": ["403"] * len(STATES)}
#: Repeating what was not merged is refused in words, to whom it would be allowed.
REPLAY = {role: ["no" if answer == "ok" else answer for answer in row] for role, row in USE_SIGNED.items()}

#: Card, examples, versions.
EDIT = grid("""
-         pub gat pri qua rem del inv pen
anonymous in  in  in  in  in  in  in  in
stranger  403 403 404 404 404 410 404 404
reader    403 403 403 404 404 410 404 404
writer    ok  ok  ok  404 404 410 ok  ok
owner     ok  ok  ok  403 403 410 ok  ok
moderator 403 403 404 403 403 410 403 403
""")

#: What is the owner's alone: visibility, people, name, the end.
OWN = {**EDIT, "writer": columns("403", "403", "403", "404", "404", "410", "403", "403")}

#: The same of what is refused in words to whom it would be allowed: there is no such result.
OWN_IN_WORDS = {role: ["no" if answer == "ok" else answer for answer in row] for role, row in OWN.items()}

#: Taking an offer back: only the public adapter is offered to somebody, and for others there is no offer.
TAKE_BACK = grid("""
-         pub gat pri qua rem del inv pen
anonymous in  in  in  in  in  in  in  in
stranger  404 404 404 404 404 410 404 404
reader    404 404 404 404 404 410 404 404
writer    404 404 404 404 404 410 404 404
owner     ok  404 404 404 404 410 404 404
moderator 404 404 404 404 404 410 404 404
""")
TAKE_BACK = unless_yanked(TAKE_BACK, "404")

#: Only the public adapter was evaluated; of the others there is no such run.
EVALUATED = grid("""
-         pub gat pri qua rem del inv pen
anonymous ok  404 404 404 404 410 404 404
stranger  ok  404 404 404 404 410 404 404
reader    ok  404 404 404 404 410 404 404
writer    ok  404 404 404 404 410 404 404
owner     ok  404 404 404 404 410 404 404
moderator ok  404 404 404 404 410 404 404
""")
EVALUATED = unless_yanked(EVALUATED, "404")

#: Bringing back what was deleted.
RESTORE = grid("""
-         pub gat pri qua rem del inv pen
anonymous in  in  in  in  in  in  in  in
stranger  404 404 404 404 404 404 404 404
reader    404 404 404 404 404 404 404 404
writer    404 404 404 404 404 404 404 404
owner     404 404 404 404 404 ok  404 404
moderator 404 404 404 404 404 404 404 404
""")
#: A page that goes back to the adapter's and says there what speaks against it.
EXPORT_PAGE = {role: ["ok" if answer == "no" else answer for answer in row] for role, row in USE_SIGNED.items()}
#: The same for whoever sees the adapter: the service decides, the page says its words.
IN_WORDS = {**SEE, "anonymous": ["in"] * len(STATES)}

#: Asking for access, by REST.
ASK = grid("""
-         pub gat pri qua rem del inv pen
anonymous in  in  in  in  in  in  in  in
stranger  no  ok  404 404 404 410 404 404
approved  no  no  404 404 404 410 404 404
reader    no  no  no  404 404 410 404 404
writer    no  no  no  404 404 410 no  no
owner     no  no  no  no  no  410 no  no
moderator no  ok  404 no  no  410 no  no
""")
#: The page looks at the adapter before it sends people to sign in.
ASK_PAGE = {**ASK, "anonymous": columns("in", "in", "404", "404", "404", "410", "404", "404")}

#: Taking one's request back; who has none is told so.
WITHDRAW = grid("""
-         pub gat pri qua rem del inv pen
anonymous in  in  in  in  in  in  in  in
stranger  404 404 404 404 404 410 404 404
waiting   ok  ok  404 404 404 410 404 404
approved  ok  ok  404 404 404 410 404 404
reader    404 404 404 404 404 410 404 404
writer    404 404 404 404 404 410 404 404
owner     404 404 404 404 404 410 404 404
moderator 404 404 404 404 404 410 404 404
""")

#: What moderators decide on, by REST: what they see, and what was reported.
DECIDE = grid("""
-         pub gat pri qua rem del inv pen
anonymous in  in  in  in  in  in  in  in
stranger  403 403 403 403 403 403 403 403
reader    403 403 403 403 403 403 403 403
writer    403 403 403 403 403 403 403 403
owner     403 403 403 403 403 403 403 403
moderator ok  ok  404 ok  ok  410 ok  ok
""")

#: Removing the collaborator "reader": the owner may, and they themselves.
LEAVE = {**OWN, "reader": columns("ok", "ok", "ok", "404", "404", "410", "404", "404")}


def everywhere(**roles: str) -> Grid:
    """For addresses that speak of no adapter: one answer per role, the same in every column."""
    return {role: [answer] * len(STATES) for role, answer in roles.items()}


def _same(others: str, **roles: str) -> Grid:
    return everywhere(**dict.fromkeys(("stranger", "reader", "writer", "owner", "moderator"), others), **roles)


#: Everybody.
OPEN = _same("ok", anonymous="ok")
#: Whoever is signed in, about themselves.
SIGNED_IN = _same("ok", anonymous="in")
#: A thing of the owner's: for others it does not exist.
MINE = {**_same("404", anonymous="in"), **everywhere(owner="ok")}
MINE_REST = {**MINE, **everywhere(anonymous="404")}
#: What changes nothing, though it is a POST.
READING = {**SIGNED_IN, **everywhere(**{"reading token": "ok"})}
#: What only a session may: a token does not make tokens.
SESSION = {**SIGNED_IN, **everywhere(**{"writing token": "403"})}
#: Offered to the stranger; its sender and everybody else find nothing to answer.
OFFERED = {**_same("404", anonymous="in"), **everywhere(stranger="ok", waiting="404", approved="404")}
#: The page tells its sender that it is not theirs to answer.
OFFERED_PAGE = {**OFFERED, **everywhere(owner="ok")}
#: Staff registers bases: here the superuser and the moderator, who is staff too.
STAFF = {**_same("403", anonymous="in"), **everywhere(moderator="ok")}
#: A thing of the owner's that everybody sees.
SHOWN = {**_same("403", anonymous="in"), **everywhere(owner="ok")}
