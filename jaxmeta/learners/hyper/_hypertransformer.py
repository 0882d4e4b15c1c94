"""HyperTransformer: transformers read the support set and emit a convolutional net.

Zhmoginov, Sandler & Vladymyrov, "HyperTransformer: Model Generation for Supervised and
Semi-Supervised Few-Shot Learning", ICML 2022, https://arxiv.org/abs/2201.04182, sections 3 and 4.
Differs from the released code: queries are normalised by the support set's statistics, in training
too, where the code takes the query batch's; a dropped sample is as if it were absent, where the
code hides it from the transformers and still counts it in the batch statistics; the encoder alone,
no decoder; shifts, scales and biases of the convolutions are never generated; variances are floored
by 1e-5, not 1e-3; ReLU everywhere, where the settings for mini-ImageNet have leaky ones.
"""

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxmeta.checks import at_least
from jaxmeta.learner import Adapted, Episode, Examples, Key, Learner, Outputs, Params
from jaxmeta.losses import LossFn, mean_loss
from jaxmeta.net import as_net
from jaxmeta.networks import max_pool
from jaxmeta.networks.convolution import conv
from jaxmeta.networks.normalisation import BatchNorm
from jaxmeta.networks.transformer import Encoder
from jaxmeta.padding import ignoring_padding
from jaxmeta.support import Support, as_support, has_label, is_valid_row

KERNEL = 3
ALLOCATIONS = ("output", "spatial")


class Generated(NamedTuple):
    """What a task leaves behind: a net."""

    kernels: tuple[jax.Array, ...]  # [3, 3, I, O] of each block that is not learned
    head: jax.Array  # [F, N]
    bias: jax.Array  # [N]
    statistics: Any  # of the support set after every block
    attention: dict  # by layer, [encoder layers, heads, weight tokens, S]; {} unless observed


def hypertransformer(
    *,
    channels: int = 8,
    blocks: int = 4,
    trained_blocks: int = 0,
    allocation: str = "output",
    local_features: int | None = None,
    shared_features: int = 32,
    label_size: int = 32,
    transformer_layers: int = 3,
    heads: int = 2,
    width_factor: float = 1.0,
    drop_labelled: float = 0.0,
    drop_unlabelled: float = 0.0,
    observe: bool = False,
    loss_fn: LossFn = optax.softmax_cross_entropy,
) -> Learner:
    """Generates a convolutional net layer by layer from the support set, without any inner loop.

    Layer l has a transformer encoder over `[weight tokens, sample tokens]`. A sample token is the
    label's vector beside the features of the sample, which has already passed the layers below; an
    unlabelled row has a label vector of its own. A weight token is a learned vector beside zeros,
    and what the encoder writes over the zeros is a slice of the weights of layer l. The net: blocks
    of 3x3 convolution, ReLU, 2x2 max-pooling and batch normalisation, then a linear layer on the
    flattened map.

    Args:
      channels: of every convolution; 8 to 64 in the paper.
      blocks: convolutional blocks.
      trained_blocks: how many of the first blocks have learned kernels, the same for all tasks. 0
        generates all layers, `blocks` the logits' alone.
      allocation: what one weight token stands for in a convolution: `"output"`, all that leads to
        one output channel, `[3 * 3 * I]`; `"spatial"`, one place of the kernel, `[I * O]`.
      local_features: features of the sample at a layer, per convolution of its extractor (two, one
        for the logits); None: as many as `channels`; 0: none.
      shared_features: features of the image itself, the same for all layers; 0: none.
      label_size: entries of a label's and of a weight token's vector.
      transformer_layers: of each encoder. Unlabelled rows help from 2 on.
      heads: of each attention.
      width_factor: width inside the encoder over that of the tokens, 1 for Omniglot and 0.5 for
        mini-ImageNet in the paper.
      drop_labelled: in the loss, labelled rows are dropped with a probability drawn once per
        episode from `[0, drop_labelled]`.
      drop_unlabelled: likewise for unlabelled rows.
      observe: keep in the adapted value how the weight tokens look at the samples.
      loss_fn: loss per example of the logits.

    Returns a `Learner` for images `[M, H, W, C]` whose adapted value is `Generated`. Rows of the
    support set that are not valid are as if absent.

    Raises:
      ValueError: a number is out of range; by the four functions, the images are too small for the
        blocks, the support set has other classes than at `init`, or queries are not of the size of
        the support images.

    Example:
      >>> import jax, jaxmeta
      >>> key = jax.random.key(0)
      >>> images = jax.random.uniform(key, (3, 28, 28, 1))
      >>> episode = jaxmeta.make_episode(images[:2], [0, 1], images[2:], [1])
      >>> learner = jaxmeta.hypertransformer(channels=8, trained_blocks=3)
      >>> params = jax.eval_shape(learner.init, key, episode)
      >>> _, logits = jax.eval_shape(learner.loss, params, key, episode)
      >>> logits.shape
      (1, 2)
    """
    at_least(
        1,
        channels=channels,
        blocks=blocks,
        label_size=label_size,
        transformer_layers=transformer_layers,
        heads=heads,
    )
    if not 0 <= trained_blocks <= blocks:
        raise ValueError(f"trained_blocks must be in 0..{blocks} (blocks), got {trained_blocks}.")
    if allocation not in ALLOCATIONS:
        raise ValueError(f"allocation must be one of {ALLOCATIONS}, got {allocation!r}.")
    if not 0 < width_factor < math.inf:
        raise ValueError(f"width_factor must be > 0 and finite, got {width_factor}.")
    for name, share in (("drop_labelled", drop_labelled), ("drop_unlabelled", drop_unlabelled)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name} must be in [0, 1], got {share}.")
    local = channels if local_features is None else local_features
    if min(local, shared_features) < 0 or local + shared_features == 0:
        raise ValueError(
            "local_features and shared_features must be >= 0 and not both 0, "
            f"got {local} and {shared_features}."
        )
    shared_net = SharedFeatures(shared_features)
    block = as_net(Block())

    def generator(tokens: int, size: int, convolutions: int) -> Generator:
        return Generator(
            tokens=tokens,
            size=size,
            local_features=local,
            convolutions=convolutions,
            label_size=label_size,
            encoder=(transformer_layers, heads, width_factor),
        )

    def kernel_generator(x: jax.Array) -> Generator:
        inputs = x.shape[-1]
        if allocation == "output":
            return generator(channels, KERNEL * KERNEL * inputs, 2)
        return generator(KERNEL * KERNEL, inputs * channels, 2)

    def head_generator(x: jax.Array, y: jax.Array) -> Generator:
        return generator(y.shape[1], math.prod(x.shape[1:]) + 1, 1)

    def as_kernel(slices: jax.Array, inputs: int) -> jax.Array:
        if allocation == "output":
            return slices.T.reshape(KERNEL, KERNEL, inputs, channels)
        return slices.reshape(KERNEL, KERNEL, inputs, channels)

    def init(key: Key, episode: Episode) -> Params:
        _check_images(episode.support.x, blocks)
        x, y, is_valid, *_ = as_support(episode.support)
        key_shared, key_head, *keys = jax.random.split(key, blocks + 2)
        shared = shared_net.init(key_shared, x)
        features = shared_net.apply(shared, x)
        layers = {}
        for number, key_block in enumerate(keys):
            key_kernel, key_norm = jax.random.split(key_block)
            inputs = x.shape[-1]
            kernel = nn.initializers.xavier_uniform()(
                key_kernel, (KERNEL, KERNEL, inputs, channels)
            )
            layer = {"norm": block.init(key_norm, x, kernel)}
            if number < trained_blocks:
                layer["kernel"] = kernel
            else:
                layer["generator"] = kernel_generator(x).init(key_kernel, x, y, features, is_valid)
            layers[f"block_{number}"] = layer
            x = block.apply(layer["norm"], x, kernel)
        head = head_generator(x, y).init(key_head, x, y, features, is_valid)
        return {"shared": shared, "blocks": layers, "head": head}

    def emit(
        net: Generator, params: Params, support: Support, x: jax.Array, features: jax.Array
    ) -> tuple[jax.Array, Any]:
        """One layer's slices, and the attention of its weight tokens to the samples."""
        arguments = (params, x, support.y, features, support.is_valid)
        slices: Any
        left: Any
        if not observe:
            slices = net.apply(*arguments)
            return slices, {}
        slices, left = net.apply(*arguments, mutable=["intermediates"])
        layers = left["intermediates"]["encoder"]
        maps = [layers[f"attention_{n}"]["attention_weights"][0] for n in range(len(layers))]
        return slices, jnp.stack(maps)[:, :, : net.tokens, net.tokens :]

    def adapt(params: Params, key: Key, support: Examples) -> Adapted:
        del key  # Samples are dropped in training only.
        _check_images(support.x, blocks)
        seen = as_support(support)
        _check_classes(params, seen.y)
        x = seen.x
        features: Any = shared_net.apply(params["shared"], x)
        kernels, statistics, attention = [], {}, {}
        for name, layer in params["blocks"].items():
            if "kernel" in layer:
                kernel = layer["kernel"]
            else:
                slices, attention[name] = emit(
                    kernel_generator(x), layer["generator"], seen, x, features
                )
                kernel = as_kernel(slices, x.shape[-1])
                kernels.append(kernel)
            rows = Examples(x, seen.y)
            x, statistics[name] = block.observe(layer["norm"], rows, kernel, seen.is_valid)
        slices, attention["head"] = emit(
            head_generator(x, seen.y), params["head"], seen, x, features
        )
        return Generated(
            tuple(kernels),
            slices[:, :-1].T,
            slices[:, -1],
            statistics,
            attention if observe else {},
        )

    def predict(params: Params, adapted: Adapted, x: jax.Array) -> Outputs:
        kernels = iter(adapted.kernels)
        for name, layer in params["blocks"].items():
            kernel = layer["kernel"] if "kernel" in layer else next(kernels)
            x = block.apply(block.under(layer["norm"], adapted.statistics[name]), x, kernel)
        flat = x.reshape(x.shape[0], math.prod(x.shape[1:]))
        if flat.shape[1] != len(adapted.head):
            raise ValueError(
                f"queries must have the size of the support images: their last maps {x.shape[1:]} "
                f"have {flat.shape[1]} numbers, the generated head takes {len(adapted.head)}."
            )
        return flat @ adapted.head + adapted.bias[None]

    def loss(params: Params, key: Key, episode: Episode) -> tuple[jax.Array, Outputs]:
        support = drop(key, episode.support, drop_labelled, drop_unlabelled)
        outputs = predict(params, adapt(params, key, support), episode.query.x)
        return mean_loss(loss_fn, outputs, episode.query), outputs

    return ignoring_padding(Learner(init, adapt, predict, loss))


def drop(key: Key, support: Examples, labelled: float, unlabelled: float) -> Examples:
    """Marks random rows of a support set as not valid.

    Args:
      key: of one episode.
      support: `S` rows.
      labelled, unlabelled: largest probability of dropping a row of either kind; the probability
        itself is drawn uniformly, once for each kind.
    """
    if labelled == 0 and unlabelled == 0:
        return support
    key_labelled, key_unlabelled, key_rows = jax.random.split(key, 3)
    probability = jnp.where(
        has_label(support.y),
        labelled * jax.random.uniform(key_labelled),
        unlabelled * jax.random.uniform(key_unlabelled),
    )
    is_kept = jax.random.uniform(key_rows, probability.shape) >= probability
    return support._replace(is_valid=is_kept & is_valid_row(support))


class Block(nn.Module):
    """3x3 convolution by a given kernel, ReLU, 2x2 max-pooling, batch normalisation."""

    @nn.compact
    def __call__(
        self, x: jax.Array, kernel: jax.Array, is_valid: jax.Array | None = None
    ) -> jax.Array:
        # ReLU and maximum commute; after the pooling it has a quarter of the work.
        x = nn.relu(max_pool(conv(x, kernel)))
        return BatchNorm(name="norm")(x, is_valid)


class SharedFeatures(nn.Module):
    """Features of an image for all layers: four convolutions, the last without a step of 2."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if self.features == 0:
            return jnp.zeros((x.shape[0], 0), x.dtype)
        for number, strides in enumerate((2, 2, 2, 1)):
            x = nn.relu(
                _Convolution(self.features, KERNEL, strides, "SAME", name=f"conv_{number}")(x)
            )
        return jnp.mean(x, (1, 2))


class LocalFeatures(nn.Module):
    """Features of a sample at one layer: means of every convolution's map, before its ReLU.

    Convolutions that the map has become too small for are left out; on a first map smaller than the
    kernel, the kernel shrinks to it.
    """

    features: int
    convolutions: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        taps = []
        size, strides = min(KERNEL, *x.shape[1:3]), 2
        if size < KERNEL:
            strides = 1
        for number in range(self.convolutions):
            if min(x.shape[1:3]) < size:
                break
            last = number == self.convolutions - 1
            x = _Convolution(
                self.features, size, 1 if last else strides, "VALID", name=f"conv_{number}"
            )(x)
            taps.append(jnp.mean(x, (1, 2)))
            x = nn.relu(x)
        return jnp.concatenate(taps, axis=1)


class _Convolution(nn.Module):
    features: int
    size: int
    strides: int
    padding: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.xavier_uniform(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return conv(x, kernel, strides=self.strides, padding=self.padding) + bias[None, None, None]


class Generator(nn.Module):
    """One layer's slices of weights `[tokens, size]` from the support set at that layer."""

    tokens: int
    size: int
    local_features: int
    convolutions: int
    label_size: int
    encoder: tuple[int, int, float]  # layers, heads, width factor

    @nn.compact
    def __call__(
        self, x: jax.Array, y: jax.Array, shared: jax.Array, is_valid: jax.Array
    ) -> jax.Array:
        """From maps `[S, h, w, I]`, labels `[S, N]`, shared features `[S, F]`, valid rows `[S]`."""
        features = shared
        if self.local_features > 0:
            local = LocalFeatures(self.local_features, self.convolutions, name="local")(x)
            features = jnp.concatenate([local, shared], axis=1)
        normal = nn.initializers.normal(1.0)
        labels = self.param("labels", normal, (y.shape[1] + 1, self.label_size))
        weights = self.param("weights", normal, (self.tokens, self.label_size))
        is_unlabelled = ~has_label(y)[:, None]
        label = jnp.concatenate([y, is_unlabelled.astype(y.dtype)], axis=1) @ labels
        room = max(self.size, features.shape[1])
        samples = jnp.pad(features, ((0, 0), (0, room - features.shape[1])))
        sequence = jnp.concatenate(
            [
                jnp.pad(weights, ((0, 0), (0, room))),
                jnp.concatenate([label, samples], axis=1),
            ]
        )
        is_valid = jnp.concatenate([jnp.ones(self.tokens, bool), is_valid])
        encoded = Encoder(*self.encoder, name="encoder")(sequence, is_valid)
        return encoded[: self.tokens, self.label_size : self.label_size + self.size]


def _check_classes(params: Params, y: jax.Array) -> None:
    classes = len(params["head"]["params"]["labels"]) - 1
    if y.shape[1] != classes:
        raise ValueError(
            f"the parameters are for {classes} classes, one label vector each, got support.y of "
            f"shape {y.shape}."
        )


def _check_images(x: jax.Array, blocks: int) -> None:
    if x.ndim != 4 or min(x.shape[1:3]) < 2**blocks:
        raise ValueError(
            f"hypertransformer with {blocks} blocks needs images [M, H, W, C] of {2**blocks} "
            f"pixels or more each way, got shape {x.shape}."
        )
