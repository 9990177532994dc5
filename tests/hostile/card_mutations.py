"""Small changes to a good card: of bytes, of its YAML, of its Markdown."""

from __future__ import annotations

import random

from tests.hostile.mutations import CARD, Files, Mutation, edit_bytes

FRONT = (
    "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
    "x: !!python/object/apply:os.system [id]",
    "tags: {a: b}",
    "license: 7",
    "base_model: [[[]]]",
    "model-index: [{results: [{metrics: [{value: .nan}]}]}]",
    "? [a, b]\n: c",
    "x: 0x_",
    "y: 1:2:3",
    "z: " + "[" * 900,
    "date: 2024-99-99",
    "language: no",
    "<<: {a: 1}",
    "a: 1\na: 2",
    "\t",
    "%YAML 9.9",
    "--- x",
    "x: '\\0'",
    "w: " + "9" * 5000,
    "v: !!binary ////",
    "u: !!set {a, b}",
    "t: !!timestamp x",
    "s: >\n  a",
    "datasets: \ud800",
    "n: " + "9" * 400 + ".0e9999",
)
BODY = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[a](javascript:alert(1))",
    "<a href='data:text/html,x'>x</a>",
    "<iframe src=//x></iframe>",
    "<svg/onload=alert(1)>",
    "![x](//tracker/x.png)",
    "<style>*{}</style>",
    "<form action=//x>",
    "<a href='jav&#x09;ascript:alert(1)'>x</a>",
    "[" * 3000,
    "*" * 3000,
    "> " * 900,
    "`" * 2000,
    "<!--",
    "<![CDATA[",
    "\0",
    "\u202e",
    "| a |\n|---|\n" * 300,
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "\n" + "  " * 400 + "- x",
    "[a]: javascript:alert(1)\n[a]",
    "<details open ontoggle=alert(1)>",
    "&" * 3000,
)


def mutate_card(good: Files, chance: random.Random) -> Mutation:
    text = good[CARD].decode()
    how = chance.randrange(4)
    if how == 0:
        return Mutation("card_bytes", {**good, CARD: edit_bytes(good[CARD], chance)})
    head, fence, body = text.partition("\n---\n")
    for _ in range(chance.randint(1, 3)):
        if how in (1, 3):
            head += "\n" + chance.choice(FRONT)
        if how in (2, 3):
            at = chance.randrange(len(body))
            body = body[:at] + chance.choice(BODY) + body[at:]
    return Mutation("card_text", {**good, CARD: (head + fence + body).encode("utf-8", "surrogatepass")})
