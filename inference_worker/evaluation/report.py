"""An evaluation as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inference_worker.contracts.evaluate import Estimate, Evaluation


def as_text(evaluations: Sequence[Evaluation]) -> str:
    """Columns of compositions, rows of clusters and tasks, per metric; each cell with its 95 % interval."""
    lines: list[str] = []
    for metric in evaluations[0].settings.metrics:
        rows: list[tuple[str, list[Mapping[str, Estimate]]]] = [("all", [one.overall for one in evaluations])]
        for level in ("clusters", "tasks"):
            tables: list[Mapping[str, Mapping[str, Estimate]]] = [getattr(one, level) for one in evaluations]
            for name in tables[0]:
                rows.append((f"  {name}" if level == "tasks" else name, [table.get(name, {}) for table in tables]))
        width = max(len(name) for name, _ in rows)
        heads = [_head(evaluation) for evaluation in evaluations]
        columns = [max(len(head), 20) for head in heads]
        lines.append(f"{metric}, {evaluations[0].suite}")
        lines.append(" " * width + "".join(f"  {head:>{column}}" for head, column in zip(heads, columns, strict=True)))
        for name, cells in rows:
            shown = [f"  {_cell(cell.get(metric)):>{column}}" for cell, column in zip(cells, columns, strict=True)]
            lines.append(f"{name:<{width}}" + "".join(shown))
        lines.append("")
    for evaluation in evaluations:
        written = f"{evaluation.prompt_tokens:,} tokens read, {evaluation.completion_tokens:,} written"
        again = (
            f", {evaluation.cached} of {len(evaluation.outcomes)} examples known before" if evaluation.cached else ""
        )
        lines.append(f"{_head(evaluation)}: {written}, {evaluation.seconds:.1f} s{again}")
    return "\n".join(lines)


def _head(evaluation: Evaluation) -> str:
    if not evaluation.composition:
        return "base"
    parts = [
        name.rpartition("/")[2] + (f":{weight:g}" if weight != 1.0 else "") for name, weight in evaluation.composition
    ]
    return ("|" if evaluation.strategy == "ensemble" else "+").join(parts)


def _cell(value: Estimate | None) -> str:
    return "" if value is None else f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"
