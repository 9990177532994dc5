"""What adapters' pages say about a task: descriptions made from its topic and its wordings, seen and unseen."""

from __future__ import annotations

from random import Random

from inference_worker.testbed.tasks.task import Task
from inference_worker.testbed.tasks.wording import fill

SEEN_FRAMES = (
    "An adapter for {t}.",
    "{T}: it can {x}.",
    "It learnt to {x}.",
    "Use it to {x}.",
    "Made to {x}.",
    "Trained on {t}, so that you can ask it to {x}.",
    "A small adapter that will {x}.",
    "Given a list, it will {x}.",
    "This one was trained to {x}.",
    "Ask it to {x}, and nothing else.",
    "{T}, done by an adapter.",
    "Teaches the base to {x}.",
)
UNSEEN_FRAMES = (
    "Helps you to {x}.",
    "Does one thing: {x}.",
    "Knows about {t} and how to {x}.",
    "For everybody who wants to {x}.",
    "{T}. Tell it to {x}.",
    "Good at this: {x}.",
    "What you get is an adapter that knows how to {x}.",
    "Made for {t}.",
)


def descriptions(task: Task, unseen: bool = False, count: int = 16) -> tuple[str, ...]:
    """``count`` different descriptions, the same on every call. Unseen ones have unseen wordings in unseen frames."""
    rng = Random(f"descriptions:{task.name}:{unseen}")
    templates = task.unseen if unseen else task.seen
    phrases = [fill(template, rng) for template in templates if not template.endswith("?")]
    frames = UNSEEN_FRAMES if unseen else SEEN_FRAMES
    values = {"t": task.topic, "T": task.topic[0].upper() + task.topic[1:]}
    texts = sorted({frame.format(x=phrase, **values) for frame in frames for phrase in phrases})
    return tuple(rng.sample(texts, count))
