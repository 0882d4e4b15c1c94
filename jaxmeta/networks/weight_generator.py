"""Weights as the outputs of a network, whole layers or chunk by chunk.

Ha, Dai & Le, "HyperNetworks", ICLR 2017, section 2; chunks with learned codes of their own: von
Oswald et al., "Continual learning with hypernetworks", ICLR 2020, section 2; the variance of what
is generated: Chang, Flokas & Lipson, "Principled Weight Initialization for Hypernetworks",
ICLR 2020.
"""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp


class WeightGenerator(nn.Module):
    """A context `[C]` to one vector for each of `sizes`, of unit variance at the start.

    A body reads the context and the learned code of a vector, or of a chunk of `chunk_size` of its
    entries; its output is normalised to a mean square of one, and a linear map whose entries have
    variance 1 / fan-in gives the entries. Without chunks each vector has a linear map of its own;
    with chunks all share one, so that the generator does not grow with what it generates but for
    the codes.
    """

    sizes: Sequence[int]
    chunk_size: int | None
    hidden: Sequence[int]
    code_size: int

    @nn.compact
    def __call__(self, context):
        chunks = [1 if self.chunk_size is None else -(-n // self.chunk_size) for n in self.sizes]
        codes = self.param("codes", nn.initializers.normal(1.0), (sum(chunks), self.code_size))
        rows = jnp.broadcast_to(context, (len(codes), context.size))
        h = jnp.concatenate([rows, codes], axis=1)
        for layer, width in enumerate(self.hidden):
            h = nn.relu(nn.Dense(width, name=f"dense_{layer}")(h))
        h = nn.LayerNorm(use_scale=False, use_bias=False, name="norm")(h)
        normal = nn.initializers.normal(1 / math.sqrt(self.hidden[-1]))
        if self.chunk_size is None:
            return tuple(
                nn.Dense(size, use_bias=False, kernel_init=normal, name=f"out_{number}")(h[number])
                for number, size in enumerate(self.sizes)
            )
        entries = nn.Dense(self.chunk_size, use_bias=False, kernel_init=normal, name="out")(h)
        starts = [sum(chunks[:number]) for number in range(len(chunks))]
        return tuple(
            entries[start : start + count].ravel()[:size]
            for start, count, size in zip(starts, chunks, self.sizes, strict=True)
        )
