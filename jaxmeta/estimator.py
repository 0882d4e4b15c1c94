"""Any learner as a scikit-learn estimator: `fit` adapts to a support set, `predict` answers.

Sizes are padded and masked, so that another task, of other classes, compiles nothing new.
"""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d, validate_data

from jaxmeta import networks, padded, pictures
from jaxmeta.answers import Answers, HeldOut, answer, calibrate
from jaxmeta.heads import PhotoNet, class_means, ridge_values
from jaxmeta.learner import Episode, Examples, Learner
from jaxmeta.runs.run import load_best, read_config

MOST_ROWS = 256  # of queries predicted together
AT_ONCE = 8  # photos whose features are computed together


class _FewShot(BaseEstimator):
    """What the classifier and the regressor share."""

    def __init__(
        self, learner=None, params=None, *, features=None, image_shape=None, n_way=None, seed=0
    ):
        self.learner = learner
        self.params = params
        self.features = features
        self.image_shape = image_shape
        self.n_way = n_way
        self.seed = seed

    @classmethod
    def from_run(cls, run_dir: str | Path):
        """The learner of a run folder with its best parameters, for inputs of the run's shape.

        Raises:
          FileNotFoundError: the folder holds no run, or the data set of the run is not there.
          ValueError: the run is not one of few-shot episodes.
        """
        found = read_run(run_dir)
        is_open = _takes(found.learner, found.params, found.shape, found.n_way + 1)
        return cls(
            found.learner,
            found.params,
            image_shape=found.shape if len(found.shape) == 3 else None,
            **({} if is_open or "n_way" not in cls._get_param_names() else {"n_way": found.n_way}),
        )

    def _learner(self):
        if self.learner is not None:
            return self.learner, {} if self.params is None else self.params
        if self.params is not None:
            raise ValueError("params without a learner have no meaning: give the learner too.")
        return self._default(), {}

    def _inputs(self, X, reset):
        """Rows that the learner takes, `[M, *X]` float32."""
        if pictures.are_pictures(X):
            X = pictures.as_array(X, self._shape_of_pictures())
        else:
            dtype = np.float32 if np.asarray(X).ndim <= 2 else None
            X = validate_data(self, X, reset=reset, allow_nd=True, dtype=dtype)
        if np.issubdtype(X.dtype, np.unsignedinteger) and X.ndim == 4:
            X = X.astype(np.float32) / 255
        X = X.astype(np.float32)
        features = self.features
        if features is None and self.learner is None and X.ndim == 4:
            features = photo_features()
        if features is not None:
            X = np.asarray(features(X))
        if not reset and X.shape[1:] != self.support_x_.shape[1:]:
            raise ValueError(
                f"X must have rows of shape {self.support_x_.shape[1:]}, as in fit, got "
                f"{X.shape[1:]}."
            )
        return X

    def rows(self, X):
        """Inputs as the learner takes them, features where there are any: `[M, *X]` float32."""
        return self._inputs(X, reset=False)

    def _shape_of_pictures(self):
        if self.image_shape is not None:
            return tuple(self.image_shape)
        if self.learner is None or self.features is not None:
            return PhotoNet.shape
        raise ValueError("pictures need image_shape=(H, W, C), the shape that the learner takes.")

    def _adapt(self, x, y):
        """Adapts to all rows; `y` `[S, width]`. Returns what was handed to the learner."""
        self.support_x_, self.support_y_ = x, y
        try:
            return self._adapt_to(padded.padded_examples(x, y, padded.padded_size(len(x))))
        except (TypeError, ValueError):  # Parameters of `snail` are for some numbers of rows alone.
            pass
        try:
            return self._adapt_to(padded.padded_examples(x, y, len(x)))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"the learner does not take {len(x)} rows of shape {x.shape[1:]} with "
                f"{y.shape[1]} columns of labels ({str(error).splitlines()[0]}). If its parameters "
                "are for one number of classes, give it as n_way."
            ) from error

    def _adapt_to(self, support):
        learner, params = self._learner()
        key = jax.random.key_data(jax.random.key(self.seed))
        self.adapted_ = padded.programs(learner).adapt(params, key, support)
        self._outputs(self.support_x_[:1])
        return params, key, support

    def _outputs(self, x):
        """Outputs of the learner `[M, width]`, each row by itself."""
        learner, params = self._learner()
        predict = padded.programs(learner).predict
        parts = []
        for start in range(0, len(x), MOST_ROWS):
            part = x[start : start + MOST_ROWS]
            rows = padded.pad(part, padded.padded_size(len(part)))
            parts.append(np.asarray(predict(params, self.adapted_, rows))[: len(part)])
        outputs = np.concatenate(parts)
        if outputs.shape != (len(x), self.support_y_.shape[1]):
            raise ValueError(f"it gives outputs of shape {outputs.shape}")
        return outputs


class FewShotClassifier(ClassifierMixin, _FewShot):
    """Classifies from a few examples of each class.

    Inputs `X` are arrays, or lists of picture files or PIL images; labels are of any type that can
    be sorted. Rows of numbers `[M, D]` are taken as features. Pictures, and arrays `[M, H, W, C]`
    (bytes, or floats in `[0, 1]`), are features first where there is no learner: those of a
    MobileNetV3-small that was trained on ImageNet, `pip install 'jaxmeta[photos]'`.

    Args:
      learner: any `Learner` of classification. None is the cosine of features and class means.
      params: its trained meta-parameters.
      features: a function from images `[M, H, W, C]` to features `[M, D]` that comes before the
        learner; None is none with a learner, and `photo_features()` without one.
      image_shape: `(H, W, C)` that pictures are brought to; by default (224, 224, 3) for features.
      n_way: the number of classes that `params` were made for, where it is fixed, as of a head with
        that many outputs; fewer classes then fit too. None takes any number.
      seed: of learners whose adaptation is random.

    After `fit`: `classes_`, `adapted_` (what the learner made of the support set), `calibration_`
    (see `jaxmeta.answers`), `n_held_out_` and `held_out_score_` (support rows that were predicted
    from the others, and the share of them that was right). The default can be pickled, a learner
    and other closures cannot: of these, `jaxmeta.export` makes a file.

    Example:
      >>> classifier = FewShotClassifier().fit([[0.0, 1.0], [1.0, 0.0]], ["up", "right"])
      >>> classifier.predict([[0.1, 0.9]]).tolist()
      ['up']
      >>> classifier.partial_fit([[-1.0, 0.0]], ["left"]).classes_.tolist()
      ['left', 'right', 'up']
    """

    def _default(self):
        return _class_means()

    def fit(self, X, y):
        """Adapts to a support set.

        Args:
          X: inputs, see the class.
          y: labels `[M]` of any sortable type.

        Raises:
          ValueError: numbers of rows differ, a number is not finite, there are more classes than
            `n_way`, or the learner does not take such rows.
        """
        x = self._inputs(X, reset=True)
        return self.fit_rows(x, _labels(x, y))

    def partial_fit(self, X, y, classes=None):
        """Adds examples, of classes seen or new; the first call is `fit`.

        `classes` is there for scikit-learn's sake: new classes may come at any time.
        """
        del classes
        if not hasattr(self, "classes_"):
            return self.fit(X, y)
        x = self._inputs(X, reset=False)
        y = _labels(x, y)
        before = self.classes_[self.labels_]
        return self.fit_rows(np.concatenate([self.support_x_, x]), np.concatenate([before, y]))

    def fit_rows(self, x, y):
        """`fit` for rows as the learner takes them, such as `support_x_` of a fitted classifier."""
        self.classes_, self.labels_ = np.unique(y, return_inverse=True)
        n_way = len(self.classes_)
        if self.n_way is not None and n_way > self.n_way:
            raise ValueError(f"y must have at most n_way = {self.n_way} classes, got {n_way}.")
        width = self.n_way or padded.padded_size(n_way)
        one_hot = np.eye(width, dtype=np.float32)[self.labels_]
        arguments = self._adapt(x, one_hot)
        learner, _ = self._learner()
        # Rows of one class are spread over the folds, so that a fold never takes a whole class.
        by_class = np.argsort(self.labels_, kind="stable")
        folds = np.full(len(arguments[-1].x), -1, np.int32)
        folds[by_class] = np.arange(len(x)) % padded.FOLDS
        outputs = np.asarray(padded.programs(learner).held_out(*arguments, folds))[: len(x), :n_way]
        # Of a class with one row nothing is left to be judged by.
        is_judged = np.bincount(self.labels_)[self.labels_] > 1
        held_out = HeldOut(outputs[is_judged], self.labels_[is_judged])
        self.calibration_ = calibrate(held_out)
        self.n_held_out_ = len(held_out.labels)
        is_right = held_out.logits.argmax(1) == held_out.labels
        self.held_out_score_ = float(is_right.mean()) if self.n_held_out_ else float("nan")
        return self

    def decision_function(self, X):
        """Logits `[M, n_classes]` of the learner; of two classes their difference `[M]`."""
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def predict(self, X):
        """The likeliest class of each input."""
        logits = self._logits(X)
        return self.classes_[np.argmax(logits, axis=1)]

    def predict_proba(self, X):
        """Probabilities `[M, n_classes]`, under the temperature that held-out rows asked for."""
        return self.answers(X).probabilities

    def answers(self, X) -> Answers:
        """Probabilities, sets of classes that hold the truth, and what is none of them."""
        check_is_fitted(self)
        return self.answers_of_rows(self.rows(X))

    def answers_of_rows(self, x) -> Answers:
        """The same for rows that `rows` has made of inputs."""
        return answer(self._outputs(x)[:, : len(self.classes_)], self.calibration_)

    def _logits(self, X):
        check_is_fitted(self)
        return self._outputs(self.rows(X))[:, : len(self.classes_)]


class FewShotRegressor(RegressorMixin, _FewShot):
    """Predicts numbers from a few examples.

    Inputs and arguments are `FewShotClassifier`'s, with targets `[M]` or `[M, K]` in place of
    labels and without `n_way`. Without a learner it is ridge regression on the features.

    Example:
      >>> regressor = FewShotRegressor().fit([[0.0], [1.0], [2.0]], [0.0, 2.0, 4.0])
      >>> round(float(regressor.predict([[3.0]])[0]), 3)
      6.0
    """

    def __init__(self, learner=None, params=None, *, features=None, image_shape=None, seed=0):
        super().__init__(learner, params, features=features, image_shape=image_shape, seed=seed)
        del self.n_way

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _default(self):
        return _ridge_values()

    def fit(self, X, y):
        """Adapts to a support set with targets `[M]` or `[M, K]`.

        Raises:
          ValueError: numbers of rows differ, a number is not finite, or the learner does not take
            such rows.
        """
        x = self._inputs(X, reset=True)
        y = check_array(_rows(x, y), ensure_2d=False, dtype=np.float32, input_name="y")
        self.is_flat_ = y.ndim == 1
        self._adapt(x, y.reshape(len(y), -1))
        return self

    def predict(self, X):
        """Values `[M]`, or `[M, K]` where the targets had K columns."""
        check_is_fitted(self)
        values = self._outputs(self.rows(X)).astype(float)
        return values[:, 0] if self.is_flat_ else values


_class_means = functools.cache(class_means)
_ridge_values = functools.cache(ridge_values)


@functools.cache
def photo_features():
    """The function from images `[M, H, W, C]` in `[0, 1]` to ImageNet features `[M, 576]`.

    Raises:
      FileNotFoundError: the extra `jaxmeta[photos]` is not installed.
    """
    weights, compute = networks.mobilenet_v3_small_weights(), jax.jit(PhotoNet().apply)

    def features(images):
        parts = (images[i : i + AT_ONCE] for i in range(0, len(images), AT_ONCE))
        return np.concatenate(
            [np.asarray(compute(weights, padded.pad(part, AT_ONCE)))[: len(part)] for part in parts]
        )

    return features


def _labels(x, y):
    y = column_or_1d(_rows(x, y), warn=True)
    assert_all_finite(y, input_name="y")
    check_classification_targets(y)
    return y


def _rows(x, y):
    if y is None:
        raise ValueError("this estimator requires y to be passed, but the target y is None.")
    y = np.asarray(y)
    if y.ndim == 0 or len(y) != len(x):
        raise ValueError(f"X and y must have as many rows, got {len(x)} and shape {y.shape}.")
    return y


class RunLearner(NamedTuple):
    """What a run folder holds for other tasks than its own."""

    learner: Learner
    params: Any
    shape: tuple[int, ...]  # of one input
    n_way: int  # columns of labels in its meta-test
    n_rows: int  # support rows in its meta-test


def read_run(run_dir: str | Path) -> RunLearner:
    """A run's learner and its best parameters.

    Raises:
      FileNotFoundError: the folder holds no run, or the data set of the run is not there.
      ValueError: the run is not one of few-shot episodes.
    """
    name, recipe = read_config(run_dir)
    best = load_best(run_dir, recipe)
    sample = next(iter(best.experiment.meta_test.values()))
    episode = jax.eval_shape(sample, jax.random.key(0))
    if not isinstance(episode, Episode):
        raise ValueError(f"{run_dir}, a run of {name}, is not one of few-shot episodes.")
    support = episode.support
    rows, *shape = support.x.shape
    return RunLearner(best.experiment.at_test, best.params, tuple(shape), support.y.shape[1], rows)


def _takes(learner, params, shape, n_way):
    """Whether the parameters serve episodes of so many classes."""
    support = Examples(jnp.zeros((n_way, *shape)), jnp.eye(n_way))

    def outputs(params):
        adapted = learner.adapt(params, jax.random.key(0), support)
        return learner.predict(params, adapted, support.x)

    try:
        return jax.eval_shape(outputs, params).shape[1] == n_way
    except (TypeError, ValueError):
        return False
