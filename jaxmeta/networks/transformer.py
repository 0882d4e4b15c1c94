"""A transformer encoder over a set of tokens.

Vaswani et al., "Attention Is All You Need", NeurIPS 2017, section 3.1: self-attention, then a layer
of its own for each token, each added to its input and normalised after. No positional code and no
dropout: the tokens are a set.
"""

import math

import flax.linen as nn
import jax.numpy as jnp


class Encoder(nn.Module):
    """Tokens `[T, E]` to tokens `[T, E]`; see `__call__`.

    `inner_width(E)` is the width of queries, keys and values over all heads, and of the layer
    between two linear maps: `E` times `width_factor`, rounded up to a multiple of the heads.

    Where the caller makes the collection `"intermediates"` mutable, each layer leaves its attention
    `[heads, T, T]` there.
    """

    layers: int
    heads: int
    width_factor: float = 1.0

    def __post_init__(self):
        if min(self.layers, self.heads) < 1 or not 0 < self.width_factor < math.inf:
            raise ValueError(
                "layers and heads must be >= 1 and width_factor positive, got "
                f"{self.layers}, {self.heads} and {self.width_factor}."
            )
        super().__post_init__()

    def inner_width(self, width: int) -> int:
        """Width inside the layers for tokens of that width."""
        return math.ceil(max(1, int(width * self.width_factor)) / self.heads) * self.heads

    @nn.compact
    def __call__(self, tokens, is_valid=None):
        """Encodes tokens `[T, E]`; those where `is_valid` `[T]` is False are never looked at."""
        width = tokens.shape[-1]
        inner = self.inner_width(width)
        glorot = nn.initializers.xavier_uniform()
        mask = None if is_valid is None else jnp.broadcast_to(is_valid, (1, *2 * tokens.shape[:1]))
        observed = self.is_mutable_collection("intermediates") and not self.is_initializing()
        for layer in range(self.layers):
            attended = nn.MultiHeadDotProductAttention(
                num_heads=self.heads,
                qkv_features=inner,
                out_features=width,
                kernel_init=glorot,
                name=f"attention_{layer}",
            )(tokens, mask=mask, sow_weights=observed)
            tokens = nn.LayerNorm(name=f"norm_a_{layer}")(tokens + attended)
            hidden = nn.relu(nn.Dense(inner, kernel_init=glorot, name=f"dense_a_{layer}")(tokens))
            hidden = nn.Dense(width, kernel_init=glorot, name=f"dense_b_{layer}")(hidden)
            tokens = nn.LayerNorm(name=f"norm_b_{layer}")(tokens + hidden)
        return tokens
