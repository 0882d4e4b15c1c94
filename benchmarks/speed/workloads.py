"""What is timed, in numbers that every framework can read.

`arithmetic` counts the multiplications and additions of the convolutions and matrix products that
the mathematics asks for, nothing for normalisation, pooling or optimisers.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Workload:
    """One meta-step: forward, backward and outer Adam."""

    about: str
    kind: str  # "maml", "prototypical", "mann", "sampling", "hypertransformer"
    tasks: int
    n_way: int = 5
    k_shot: int = 1
    q_queries: int = 15
    side: int = 28  # of the images; 0: the sinusoid
    channels: int = 1  # of the images
    width: int = 64  # of Conv4
    inner_steps: int = 0
    inner_lr: float = 0.0
    first_order: bool = False

    def arithmetic(self) -> float | None:
        """Floating-point operations of one meta-step; None where they do not decide the time."""
        if self.kind not in ("maml", "prototypical") or not self.side:
            return None
        first, rest = _forward(self.side, self.channels, self.width)
        support, query = (self.n_way * per_class for per_class in (self.k_shot, self.q_queries))
        # Forward, weights' gradient and, but for the first layer, inputs' gradient. A second-order
        # inner step is differentiated once more: a forward pass, and two products for each of the
        # two or three.
        once = 2 * first + 3 * rest
        if self.kind == "prototypical":
            return self.tasks * (support + query) * once
        inner = once if self.first_order else 4 * first + 9 * rest
        return self.tasks * (self.inner_steps * support * inner + query * once)


def _forward(side, channels, width):
    """Operations of Conv4 on one image: the first layer, and the three after it."""
    layers = []
    for _ in range(4):
        layers.append(2 * 9 * channels * width * side * side)
        side, channels = side // 2, width
    return layers[0], sum(layers[1:])


def _sinusoid(inner_steps):
    return Workload(
        f"MAML, net 1-40-40-1, 10 shots, 10 queries, {inner_steps} inner steps, 25 tasks",
        "maml",
        tasks=25,
        side=0,
        k_shot=10,
        q_queries=10,
        inner_steps=inner_steps,
        inner_lr=0.01,
    )


def _conv4(tasks, first_order=False):
    order = "first" if first_order else "second"
    return Workload(
        f"MAML, {order} order, Conv4-64, 28x28, 5-way 1-shot, 15 queries per class, 5 inner "
        f"steps, {tasks} tasks",
        "maml",
        tasks=tasks,
        inner_steps=5,
        inner_lr=0.01,
        first_order=first_order,
    )


WORKLOADS = {
    "sinusoid-1": _sinusoid(1),
    "sinusoid-20": _sinusoid(20),
    "sinusoid-50": _sinusoid(50),
    "conv4-4": _conv4(4),
    "conv4-16": _conv4(16),
    "conv4-4-first-order": _conv4(4, first_order=True),
    "conv4-16-first-order": _conv4(16, first_order=True),
    "conv4-84": Workload(
        "MAML, second order, Conv4-32, 84x84x3, 5-way 5-shot, 15 queries per class, 5 inner "
        "steps, 4 tasks",
        "maml",
        tasks=4,
        k_shot=5,
        side=84,
        channels=3,
        width=32,
        inner_steps=5,
        inner_lr=0.01,
    ),
    "prototypical": Workload(
        "prototypical networks, Conv4-64, 28x28, 20-way 5-shot, 5 queries per class, 1 task",
        "prototypical",
        tasks=1,
        n_way=20,
        k_shot=5,
        q_queries=5,
    ),
    "prototypical-2": Workload(
        "the same, 2 tasks",
        "prototypical",
        tasks=2,
        n_way=20,
        k_shot=5,
        q_queries=5,
    ),
    "mann": Workload(
        "MANN, LSTM of 200, 128 slots of 40, 4 heads, streams of 50 steps, 16 streams",
        "mann",
        tasks=16,
        side=20,
    ),
    "hypertransformer": Workload(
        "HyperTransformer, 8 channels, 20-way 1-shot, 3 queries per class, 4 tasks",
        "hypertransformer",
        tasks=4,
        n_way=20,
        q_queries=3,
        width=8,
    ),
    "sampling": Workload(
        "32 episodes of 5-way 1-shot, 15 queries per class, from 1623 classes of 20 images",
        "sampling",
        tasks=32,
    ),
}
