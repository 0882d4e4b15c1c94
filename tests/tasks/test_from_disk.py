import jax
import numpy as np
import optax
import pytest
from PIL import Image

import jaxmeta
from jaxmeta import datasets, tasks
from jaxmeta.runs import fit
from jaxmeta.training import init_state, make_step

# Image r of class c is all 10 c + r, so an episode tells which rows it is made of.
CLASSES = {f"c{c}": np.full((6, 3, 3, 1), 10 * c, np.uint8) for c in range(5)}
for images in CLASSES.values():
    images += np.arange(6, dtype=np.uint8)[:, None, None, None]
SHAPE = {"n_way": 3, "k_shot": 1, "q_queries": 2}


@pytest.fixture(params=["files", "records"])
def rows(request, tmp_path):
    if request.param == "records":
        data = datasets.ClassData.from_classes(CLASSES)
        datasets.write_array_records(data, tmp_path / "records")
        return datasets.array_records(tmp_path / "records")
    for name, images in CLASSES.items():
        (tmp_path / "images" / name).mkdir(parents=True)
        for number, image in enumerate(images):
            Image.fromarray(image[..., 0]).save(tmp_path / "images" / name / f"{number}.png")
    return datasets.image_files(tmp_path / "images", image_size=3, grey=True)


def test_every_row_is_the_image_that_was_written(rows):
    assert rows.counts == (6,) * 5 and rows.class_names == tuple(CLASSES)
    every = np.concatenate(list(CLASSES.values()))
    np.testing.assert_array_equal(np.stack([rows[i] for i in range(30)]), every)


def test_an_episode_is_whole_and_a_function_of_its_number(rows):
    loaded = tasks.episodes_from_disk(rows, **SHAPE, seed=3)
    batch = next(loaded.batches(0, 20))
    later = next(loaded.batches(13, 7))
    for i in range(20):
        support, query = jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i]), batch)
        told = [part.x[:, 0, 0, 0].astype(int) for part in (support, query)]
        assert len(set(np.concatenate(told))) == 9  # No image twice.
        np.testing.assert_array_equal(told[1] // 10, np.repeat(told[0] // 10, 2))
        assert len(set(told[0] // 10)) == 3
        np.testing.assert_array_equal(query.y, np.repeat(np.eye(3), 2, axis=0))
    for ours, theirs in zip(jax.tree.leaves(batch), jax.tree.leaves(later), strict=True):
        np.testing.assert_array_equal(ours[13:], theirs)
    other = next(tasks.episodes_from_disk(rows, **SHAPE, seed=4).batches(0, 20))
    assert (np.asarray(other.query.x) != np.asarray(batch.query.x)).any()


def test_workers_read_the_same_episodes(tmp_path):
    datasets.write_array_records(datasets.ClassData.from_classes(CLASSES), tmp_path / "records")
    rows = datasets.array_records(tmp_path / "records")
    alone = tasks.episodes_from_disk(rows, **SHAPE, seed=3).batches(0, 4)
    shared = tasks.episodes_from_disk(rows, **SHAPE, seed=3, workers=2).batches(0, 4)
    for _ in range(3):
        for ours, theirs in zip(*map(jax.tree.leaves, (next(alone), next(shared))), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def learner():
    net = jaxmeta.networks.mlp(3, hidden=(4,))
    flat = type("Flat", (), {})()
    flat.init = lambda key, x: net.init(key, x.reshape(len(x), -1))
    flat.apply = lambda params, x: net.apply(params, x.reshape(len(x), -1))
    return jaxmeta.maml(flat, rule=jaxmeta.rules.sgd(0.1), inner_steps=1)


def test_a_resumed_run_goes_on_at_the_very_episode(rows, tmp_path):
    """To the bit, with `fit`; and each step has the episodes of its number."""
    loaded = tasks.episodes_from_disk(rows, **SHAPE, seed=3)
    same = {"key": jax.random.key(0), "meta_batch_size": 2, "show_progress": False}

    def train(name, steps, **settings):
        return fit(
            learner(),
            optax.adam(1e-2),
            loaded,
            **same,
            steps=steps,
            run_dir=tmp_path / name,
            steps_per_call=2,
            checkpoint_every=2,
            **settings,
        )

    whole = train("whole", 8)
    train("parts", 4)
    parts = train("parts", 8, resume=True)
    for ours, theirs in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    texts = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "parts")]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("policy", [{}, {"tasks_at_once": 1}, {"devices": 2}], ids=str)
def test_a_step_takes_the_loaded_episodes(tmp_path, policy):
    """Against the gradient written out over episodes 4 to 7, of step 1."""
    datasets.write_array_records(datasets.ClassData.from_classes(CLASSES), tmp_path / "records")
    rows = datasets.array_records(tmp_path / "records")
    loaded = tasks.episodes_from_disk(rows, **SHAPE, seed=3)
    tx = optax.sgd(1.0)
    state = init_state(jax.random.key(0), learner(), tx, loaded)
    start = jax.tree.map(np.asarray, state.params)
    step = make_step(learner(), tx, loaded, meta_batch_size=4, **policy)
    state, _ = step(state._replace(step=state.step + 1), jax.random.key(1))
    with pytest.raises(TypeError, match="call it by itself"):
        jax.jit(step)(state, jax.random.key(1))
    batch = next(loaded.batches(4, 4))

    def mean_loss(params):
        return (
            np.mean(1.0)
            * sum(
                learner().loss(
                    params, None, loaded.prepare(jax.tree.map(lambda leaf, i=i: leaf[i], batch))
                )[0]
                for i in range(4)
            )
            / 4
        )

    grads = jax.grad(mean_loss)(start)
    for new, old, grad in zip(*map(jax.tree.leaves, (state.params, start, grads)), strict=True):
        np.testing.assert_allclose(new, old - grad, rtol=1e-4, atol=1e-6)


def test_what_is_refused(tmp_path):
    data = datasets.ClassData.from_classes(CLASSES)
    folder = tmp_path / "records"
    datasets.write_array_records(data, folder)
    rows = datasets.array_records(folder)
    with pytest.raises(ValueError, match="n_way must be at most the 5 classes, got 6"):
        tasks.episodes_from_disk(rows, n_way=6, k_shot=1, q_queries=1, seed=0)
    with pytest.raises(ValueError, match=r"k_shot \+ q_queries = 7 .* 'c0' has 6"):
        tasks.episodes_from_disk(rows, n_way=2, k_shot=1, q_queries=6, seed=0)
    with pytest.raises(ValueError, match="must be a new folder"):
        datasets.write_array_records(data, folder)
    (folder / "rows.array_record").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="does not hold whole records"):
        datasets.array_records(folder)
    with pytest.raises(FileNotFoundError, match=r"must hold index\.json"):
        datasets.array_records(tmp_path)
    (tmp_path / "images" / "empty").mkdir(parents=True)
    with pytest.raises(ValueError, match="empty has none"):
        datasets.image_files(tmp_path / "images", image_size=3)
    (tmp_path / "images" / "empty" / "x.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"x\.png is not a readable image"):
        datasets.image_files(tmp_path / "images", image_size=3)[0]
