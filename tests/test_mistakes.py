"""Typical mistakes at the prompt: each gets one helpful line before anything is compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta import losses
from jaxmeta.learners import memory
from jaxmeta.training import MetaState

KEY = jax.random.key(0)
NET = jaxmeta.networks.mlp(3, hidden=(4,))
LEARNER = jaxmeta.maml(NET, inner_steps=1)
TX = optax.adam(1e-3)
X = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
LABELS = np.array([0, 1, 2, 0, 1, 2])
EPISODE = jaxmeta.make_episode(X, LABELS, X, LABELS)
PARAMS = LEARNER.init(KEY, EPISODE)
INTEGERS = jaxmeta.Examples(jnp.asarray(X), jnp.asarray(LABELS))

# No support row of class 2, which two queries are of.
TOO_FEW = EPISODE._replace(support=jax.tree.map(lambda leaf: leaf[:2], EPISODE.support))


def sample(key):
    del key
    return EPISODE


def state():
    return jaxmeta.init_state(KEY, LEARNER, TX, sample)


def evaluate(learner=LEARNER, params=PARAMS, sample=sample, key=KEY, **settings):
    return jaxmeta.evaluate(learner, params, sample, n_episodes=2, key=key, **settings)


def make_step(learner=LEARNER, tx=TX, sample=sample):
    return jaxmeta.make_step(learner, tx, sample, meta_batch_size=2)


def use_a_state_twice():
    step, first = make_step(), state()
    step(first, KEY)
    step(first, KEY)


def evaluate_what_a_step_took():
    step, first = make_step(), state()
    step(first, KEY)
    evaluate(params=first.params)


def head_of_five():
    learner = jaxmeta.maml(jaxmeta.networks.mlp(5), inner_steps=1)
    first = jaxmeta.init_state(KEY, learner, TX, sample)
    make_step(learner)(first, KEY)


def columns(n):
    """A sampler of regression tasks whose targets have n axes."""
    y = jnp.ones((6,) if n == 1 else (6, 1))
    part = jaxmeta.Examples(jnp.asarray(X), y)
    return lambda key: jaxmeta.Episode(part, part)


INTEGER_WORDS = r"y must be \[M, N\] one-hot.*got shape \(6,\).*`make_episode` takes integer labels"
OPTAX_WORDS = r"got an optax transformation: wrap it, as in jaxmeta\.rules\.from_optax"
MISTAKES = {
    "integer labels, adapt": (
        lambda: LEARNER.adapt(PARAMS, KEY, INTEGERS),
        ValueError,
        INTEGER_WORDS,
    ),
    "integer labels, loss": (
        lambda: LEARNER.loss(PARAMS, KEY, EPISODE._replace(query=INTEGERS)),
        ValueError,
        INTEGER_WORDS,
    ),
    "integer labels, step": (
        lambda: make_step(sample=lambda key: EPISODE._replace(query=INTEGERS))(state(), KEY),
        ValueError,
        INTEGER_WORDS,
    ),
    "integer labels, evaluate": (
        lambda: evaluate(sample=lambda key: EPISODE._replace(support=INTEGERS)),
        ValueError,
        INTEGER_WORDS,
    ),
    "integer labels, metric": (
        lambda: losses.accuracy(jnp.zeros((6, 3)), INTEGERS),
        ValueError,
        INTEGER_WORDS,
    ),
    "optax as rule": (lambda: jaxmeta.maml(NET, rule=optax.adam(0.1)), TypeError, OPTAX_WORDS),
    "optax as rule, fomaml": (
        lambda: jaxmeta.fomaml(NET, rule=optax.sgd(0.1)),
        TypeError,
        OPTAX_WORDS,
    ),
    "optax as rule, anil": (lambda: jaxmeta.anil(NET, rule=optax.sgd(0.1)), TypeError, OPTAX_WORDS),
    "optax as rule, reptile": (
        lambda: jaxmeta.reptile(NET, rule=optax.sgd(0.1)),
        TypeError,
        OPTAX_WORDS,
    ),
    "optax as rule, cavia": (
        lambda: jaxmeta.cavia(NET, rule=optax.sgd(0.1)),
        TypeError,
        OPTAX_WORDS,
    ),
    "optax as rule, imaml": (
        lambda: jaxmeta.imaml(NET, rule=optax.sgd(0.1)),
        TypeError,
        OPTAX_WORDS,
    ),
    "optax as rule, learned_optimizer": (
        lambda: jaxmeta.learned_optimizer(NET, rule=optax.sgd(0.1)),
        TypeError,
        OPTAX_WORDS,
    ),
    "a rule not built": (
        lambda: jaxmeta.maml(NET, rule=jaxmeta.rules.sgd),
        TypeError,
        r"rule must be an UpdateRule such as jaxmeta\.rules\.sgd\(0\.01\), got sgd",
    ),
    "a rate as rule": (lambda: jaxmeta.maml(NET, rule=0.01), TypeError, r"sgd\(0\.01\), got float"),
    "a state as parameters": (
        lambda: evaluate(params=state()),
        TypeError,
        r"params must be meta-parameters, got a MetaState: give state\.params",
    ),
    "parameters as a state": (
        lambda: make_step()(PARAMS, KEY),
        TypeError,
        r"state must be a MetaState, got GradientParams: `init_state` makes one",
    ),
    "an episode as sampler, step": (
        lambda: make_step(sample=EPISODE),
        TypeError,
        r"sample must be a function key -> Episode, got an Episode: give `lambda key: episode`",
    ),
    "an episode as sampler, init_state": (
        lambda: jaxmeta.init_state(KEY, LEARNER, TX, EPISODE),
        TypeError,
        r"got an Episode: give `lambda key: episode`",
    ),
    "an episode as sampler, evaluate": (
        lambda: evaluate(sample=EPISODE),
        TypeError,
        r"got an Episode: give `lambda key: episode`",
    ),
    "data as sampler": (
        lambda: make_step(sample=[EPISODE]),
        TypeError,
        r"got list: `jaxmeta\.tasks` makes samples",
    ),
    "sample and tx swapped, step": (
        lambda: make_step(tx=sample, sample=TX),
        TypeError,
        r"got sample: the order is \(learner, tx, sample\)",
    ),
    "sample and tx swapped, init_state": (
        lambda: jaxmeta.init_state(KEY, LEARNER, sample, TX),
        TypeError,
        r"got sample: the order is \(learner, tx, sample\)",
    ),
    "an optimiser not built": (
        lambda: make_step(tx=optax.adam),
        TypeError,
        r"such as optax\.adam\(1e-3\), got adam",
    ),
    "an optimiser as sampler": (
        lambda: evaluate(sample=TX),
        TypeError,
        r"got an optimiser: the order is \(learner, tx, sample\)",
    ),
    "a state used twice": (
        use_a_state_twice,
        ValueError,
        r"go on with the state that came back, as in `state, info = step\(state, key\)`",
    ),
    "distance by name": (
        lambda: jaxmeta.prototypical(NET, distance="cosine"),
        TypeError,
        r"distance must be a function, got 'cosine': take learners\.metric\.cosine",
    ),
    "loss by name": (
        lambda: jaxmeta.maml(NET, loss_fn="mse").adapt(PARAMS, KEY, EPISODE.support),
        TypeError,
        r"loss_fn must be a function .* such as optax\.softmax_cross_entropy, got 'mse'",
    ),
    "targets of rank one": (
        lambda: jaxmeta.make_episode(X, np.ones(6), X, np.ones(6)),
        TypeError,
        r"for the targets of a regression give `y\[:, None\]`, of shape \[M, 1\]",
    ),
    "targets of rank one, evaluate": (
        lambda: evaluate(sample=columns(1)),
        ValueError,
        r"`y\[:, None\]` makes one column of targets",
    ),
    "string labels": (
        lambda: jaxmeta.make_episode(X[:2], ["cat", "dog"], X[:1], ["cat"]),
        TypeError,
        r"support\.y must hold real numbers, got <U3: number the names of classes",
    ),
    "a seed as key, init_state": (
        lambda: jaxmeta.init_state(0, LEARNER, TX, sample),
        TypeError,
        r"key must be one random key, got 0: give jax\.random\.key\(0\)",
    ),
    "a seed as key, step": (
        lambda: make_step()(state(), 0),
        TypeError,
        r"got 0: give jax\.random\.key\(0\)",
    ),
    "a seed as key, evaluate": (
        lambda: evaluate(key=0),
        TypeError,
        r"got 0: give jax\.random\.key\(0\)",
    ),
    "several keys": (
        lambda: evaluate(key=jax.random.split(KEY)),
        TypeError,
        r"got shape \(2,\), key<",
    ),
    "dict inputs": (
        lambda: jaxmeta.make_episode({"a": X, "b": X}, LABELS, {"a": X, "b": X}, LABELS),
        TypeError,
        r"support\.x must be one array, got a dict of 'a', 'b': join its parts",
    ),
    "dict inputs, evaluate": (
        lambda: evaluate(
            sample=lambda key: EPISODE._replace(support=EPISODE.support._replace(x={"a": X}))
        ),
        TypeError,
        r"support\.x must be one array, got dict",
    ),
    "a head of 5 with 3 ways": (
        head_of_five,
        ValueError,
        r"got outputs \(6, 5\) and y \(6, 3\): the net must give \[M, N\] for N classes",
    ),
    "a state as parameters, loss": (
        lambda: LEARNER.loss(state(), KEY, EPISODE),
        TypeError,
        r"params must be meta-parameters, got a MetaState: give state\.params",
    ),
    "a state as parameters, adapt": (
        lambda: LEARNERS["prototypical"].adapt(state(), KEY, EPISODE.support),
        TypeError,
        r"params must be meta-parameters, got a MetaState",
    ),
    "donated parameters": (
        evaluate_what_a_step_took,
        ValueError,
        r"these parameters were given to a step before",
    ),
    "dict inputs, learner": (
        lambda: LEARNER.loss(PARAMS, KEY, EPISODE._replace(query=EPISODE.query._replace(x={}))),
        TypeError,
        r"query\.x must be one array, got dict",
    ),
    "a tuple as episode": (
        lambda: evaluate(sample=lambda key: ((X, LABELS), (X, LABELS))),
        TypeError,
        r"sample must give an Episode, got tuple",
    ),
    "a net as learner, step": (
        lambda: make_step(learner=NET),
        TypeError,
        r"learner must be a jaxmeta\.Learner, got MLP: make one of a net",
    ),
    "a net as learner, evaluate": (
        lambda: evaluate(learner=NET),
        TypeError,
        r"learner must be a jaxmeta\.Learner, got MLP",
    ),
    "key 0, learner": (
        lambda: LEARNER.init(0, EPISODE),
        TypeError,
        r"key must be one random key, got 0: give jax\.random\.key\(0\)",
    ),
    "a net without fast weights": (
        lambda: jaxmeta.meta_networks(NET),
        TypeError,
        r"embed must be a net whose layers take fast weights, got MLP",
    ),
    "a loss as metric": (
        lambda: evaluate(metric=optax.softmax_cross_entropy),
        TypeError,
        r"metric must take \(outputs, query examples\)",
    ),
    "half an episode": (
        lambda: jaxmeta.evaluate(LEARNER, PARAMS, sample, n_episodes=1.5, key=KEY),
        TypeError,
        r"n_episodes must be an int, got 1\.5",
    ),
    "one class only": (
        lambda: jaxmeta.make_episode(X, [1] * 6, X, [1] * 6),
        ValueError,
        r"every label of support\.y is 1: with one class every answer is right",
    ),
    "one class only, one-hot": (
        lambda: jaxmeta.make_episode(X, np.eye(2)[[0] * 6], X, np.eye(2)[[0] * 6]),
        ValueError,
        r"every label of support\.y is 0",
    ),
    "a query class without support, evaluate": (
        lambda: evaluate(sample=lambda key: TOO_FEW),
        ValueError,
        r"row 2 of query\.y is of class 2, of which support\.y has none",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_answer_says_what_to_do(name):
    run, error, words = MISTAKES[name]
    with pytest.raises(error, match=words) as answer:
        run()
    assert len(str(answer.value).splitlines()) == 1


LEARNERS = {
    "prototypical": jaxmeta.prototypical(NET),
    "siamese": jaxmeta.siamese(NET),
    "matching": jaxmeta.matching(NET),
    "ridge": jaxmeta.ridge(NET),
    "snail": jaxmeta.snail(NET, filters=4, attention=((4, 4), (4, 4), (4, 4))),
    "mann": jaxmeta.mann(NET),
    "nearest_seen": memory.nearest_seen(),
    "meta_sgd": jaxmeta.meta_sgd(NET),
    "conditional": jaxmeta.conditional(NET),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_says_what_labels_must_be(name):
    learner = LEARNERS[name]
    params = jax.eval_shape(learner.init, KEY, EPISODE) if name != "conditional" else None
    with pytest.raises(ValueError, match=r"y must be \[M, N\] one-hot.*`make_episode` takes"):
        jax.eval_shape(learner.loss, params, KEY, EPISODE._replace(support=INTEGERS))


def test_restore_of_a_run_folder(tmp_path):
    run = tmp_path / "run"
    settings = {"key": KEY, "meta_batch_size": 1, "run_dir": run, "show_progress": False}
    jaxmeta.fit(LEARNER, TX, sample, steps=1, **settings)
    with pytest.raises(ValueError, match=r"is the folder of a run.*`fit\(\.\.\., resume=True\)`"):
        jaxmeta.restore(run, PARAMS)
    fitted = jaxmeta.fit(LEARNER, TX, sample, steps=1, resume=True, **settings)
    assert jax.tree.structure(fitted.params) == jax.tree.structure(PARAMS)


def test_transductive_without_anything_to_be_transductive_about():
    with pytest.warns(UserWarning, match="transductive=True changed nothing"):
        together = evaluate(transductive=True)
    assert together.transductive and together.mean == evaluate().mean

    # A learner that looks at all queries at once has something, batch statistics or not.
    def predict(params, adapted, x):
        return LEARNER.predict(params, adapted, x - jnp.mean(x, axis=0))

    evaluate(LEARNER._replace(predict=predict), transductive=True)


def test_what_is_right_is_taken():
    after, _ = make_step()(MetaState(*state()), KEY)
    assert int(after.step) == 1
    assert evaluate(key=jax.random.PRNGKey(0)).per_episode.shape == (2,)
    jax.vmap(lambda key: evaluate(key=key).mean)(jax.random.split(KEY))
