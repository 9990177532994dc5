"""A verdict on adapters as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from inference_worker.contracts.composability import AdapterLine, FolderVerdict, MethodVerdict, PairVerdict

#: From this cosine of signatures on, two adapters are near-duplicates.
_NEAR_DUPLICATE = 0.98


def verdict_text(verdict: FolderVerdict) -> str:
    """Lines for people."""
    return "\n".join(_lines(verdict))


def _lines(verdict: FolderVerdict) -> Iterator[str]:
    for adapter in verdict.adapters:
        ranks = ", ".join(map(str, adapter.ranks))
        yield f"{adapter.name}: rank {ranks}, {adapter.modules} modules, {adapter.licence or 'no licence named'}"
        yield f"  base {adapter.base or 'not named'}, task {adapter.task or 'not named'}"
    yield f"same base       {'yes' if verdict.same_base else 'no, or not named: the shapes decide'}"
    tokenizers = {None: "not known: not all bring a tokenizer.json", True: "yes", False: "no"}
    yield f"same tokenizer  {tokenizers[verdict.same_tokenizer]}"
    yield f"same shapes     {_shapes(verdict.clashing)}"
    yield f"licence         {_licence(verdict.adapters)}"
    yield f"shared modules  {verdict.shared_modules} of {verdict.all_modules}"
    for pair in verdict.pairs:
        yield from _pair(pair)
    yield "methods"
    yield from _methods(verdict.methods)
    yield "predictions, for two adapters that are both merged at weight 1"
    yield from verdict.predictions or ("No prediction is shipped for these measures.",)


def _shapes(clashing: Sequence[str]) -> str:
    return f"no; modules that differ: {len(clashing)}, first {clashing[0]}" if clashing else "yes"


def _licence(adapters: Sequence[AdapterLine]) -> str:
    """What the cards name together; which one a merge may carry is for people, or the site, to decide."""
    named = sorted({adapter.licence for adapter in adapters if adapter.licence})
    missing = [adapter.name for adapter in adapters if not adapter.licence]
    if not named:
        return "none named"
    words = f"{named[0]}" if len(named) == 1 else f"{' and '.join(named)}: a merge has to meet the terms of all"
    return words + (f"; {', '.join(missing)} names none" if missing else "")


def _pair(pair: PairVerdict) -> Iterator[str]:
    found = pair.measures
    yield f"{pair.first} with {pair.second}"
    if found.clashing:
        yield f"  modules of other shapes: {found.clashing}; they do not fit one base"
    near = "" if (pair.signature or 0.0) < _NEAR_DUPLICATE else ", near-duplicates"
    signature = "" if pair.signature is None else f" (of signatures {pair.signature:.3f}{near})"
    yield f"  cosine          {found.cosine:.3f}{signature}"
    yield f"  reads alike     {_share(found.row_overlap)}, chance {_share(found.row_chance)}, {_angle(found.row_angle)}"
    columns = f"{_share(found.column_overlap)}, chance {_share(found.column_chance)}, {_angle(found.column_angle)}"
    yield f"  writes alike    {columns}"
    yield f"  units alike     {_share(found.unit_overlap)}"
    yield f"  signs agree     {_share(found.sign_agreement)}, chance 50 %"
    yield f"  norms           {found.norms[0]:.4g} and {found.norms[1]:.4g}"
    if pair.kept or pair.not_predicted:
        yield "  predicted, if these two are merged at weight 1:"
    for method, (first, second) in pair.kept.items():
        yield f"  {method} keeps".ljust(18) + f"{_share(first)} of {pair.first}, {_share(second)} of {pair.second}"
    for method, reason in pair.not_predicted.items():
        yield f"  {method}".ljust(18) + reason.message
    yield f"  {'layer':<10} {'norms':>21} {'cosine':>8} {'reads':>7} {'writes':>7} {'units':>7} {'signs':>7}"
    for layer in found.layers:
        cosine = "–" if layer.cosine is None else f"{layer.cosine:.3f}"
        shares = (layer.row_overlap, layer.column_overlap, layer.unit_overlap, layer.sign_agreement)
        columns = " ".join(f"{_share(share):>7}" for share in shares)
        yield f"  {layer.layer:<10} {layer.norms[0]:>10.4g} {layer.norms[1]:>10.4g} {cosine:>8} {columns}"


def _methods(methods: Sequence[MethodVerdict]) -> Iterator[str]:
    """One line each; those about which the same is to be said share a line for it."""
    shared: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for method in methods:
        shared.setdefault((method.state, _without_name(method)), []).append(method.name)
    for (state, reasons), names in shared.items():
        if len(names) == 1 or not reasons:
            words = f"{state}: {' '.join(reasons)}" if reasons else state
            for name in names:
                yield f"  {name:<18} {words}"
            continue
        which = "all methods" if len(names) == len(methods) else f"{len(names)} methods"
        yield f"  {which:<18} {state}: {' '.join(reasons)}"
        if len(names) < len(methods):
            yield from wrap(", ".join(names), 100, initial_indent="    ", subsequent_indent="    ")


def _without_name(method: MethodVerdict) -> tuple[str, ...]:
    """The reasons less the method's own name, with which a refusal by its rules begins."""
    return tuple(reason.removeprefix(f"{method.name} ") for reason in method.reasons)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:.0f} %"


def _angle(value: float | None) -> str:
    return "–" if value is None else f"smallest angle {value:.0f}°"
