import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from test_all_learners import N_WAY, ROWS, SIZE, setting

import jaxmeta
from jaxmeta import export

# Their order of the support rows is `jax.random.permutation`'s, which draws for one number of rows.
DRAWS_AN_ORDER = ("reptile", "mann", "snail", "meta_networks")
DOCS = Path(__file__).parents[1] / "docs" / "serving.md"


def support_of(rows):
    labels = np.arange(rows) % N_WAY
    x = jax.random.normal(jax.random.key(rows), (rows, SIZE))
    return jaxmeta.Examples(x, jnp.eye(N_WAY)[labels])


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if "," in name else (), id=name) for name in ROWS],
)
def test_an_artefact_gives_the_numbers_of_the_library(tmp_path, name):
    learner = ROWS[name].learner
    params, key, episode = setting(ROWS[name])
    rows = 6 if name in DRAWS_AN_ORDER else None
    export.write(tmp_path / "a.zip", learner, params, episode.support, support_rows=rows)
    artefact = export.read(tmp_path / "a.zip")
    support = support_of(rows or 7)  # another number than at the export, where it is open
    x = jax.random.normal(jax.random.key(1), (4, SIZE))
    adapted = artefact.adapt(artefact.params, jax.random.key_data(key), support.x, support.y)
    outputs = artefact.predict(artefact.params, adapted, x)
    expected = jax.jit(learner.predict)(params, jax.jit(learner.adapt)(params, key, support), x)
    assert np.ptp(expected) > 1e-3  # and not two constants that agree
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", DRAWS_AN_ORDER)
def test_a_learner_that_draws_an_order_says_that_it_needs_the_number_of_rows(tmp_path, name):
    params, _, episode = setting(ROWS[name])
    with pytest.raises(ValueError, match="give support_rows"):
        export.write(tmp_path / "a.zip", ROWS[name].learner, params, episode.support)
    assert not list(tmp_path.iterdir())


def exported(path, learner=ROWS["ridge"].learner, **about):
    params, _, episode = setting(ROWS["ridge"])
    export.write(path, learner, params, episode.support, about=about)
    return path


def test_more_columns_than_rows_are_solved_by_the_other_system(tmp_path):
    # Of 6 rows and 21 columns the library solves the small system, the artefact the large one.
    learner = jaxmeta.ridge(jaxmeta.networks.mlp(20, hidden=()), lam=0.1)
    support = support_of(6)
    params = learner.init(jax.random.key(0), jaxmeta.Episode(support, support))
    export.write(tmp_path / "a.zip", learner, params, support)
    artefact = export.read(tmp_path / "a.zip")
    adapted = artefact.adapt(artefact.params, [0, 0], support.x, support.y)
    expected = learner.predict(params, learner.adapt(params, None, support), support.x)
    outputs = artefact.predict(artefact.params, adapted, support.x)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_images_and_convolutions(tmp_path):
    learner = jaxmeta.maml(
        jaxmeta.networks.conv4(2, width=4), rule=jaxmeta.rules.sgd(0.1), inner_steps=2
    )
    x = jax.random.uniform(jax.random.key(0), (6, 16, 16, 1))
    support = jaxmeta.Examples(x, jnp.eye(2)[np.arange(6) % 2])
    params = learner.init(jax.random.key(1), jaxmeta.Episode(support, support))
    export.write(tmp_path / "a.zip", learner, params, support)
    artefact = export.read(tmp_path / "a.zip")
    four = jaxmeta.Examples(x[:4], support.y[:4])
    adapted = artefact.adapt(artefact.params, [0, 0], *four[:2])
    expected = learner.predict(params, jax.jit(learner.adapt)(params, None, four), x)
    outputs = artefact.predict(artefact.params, adapted, x)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


def test_targets_of_a_regression(tmp_path):
    learner = jaxmeta.maml(
        jaxmeta.networks.mlp(2, hidden=(4,)), loss_fn=lambda outputs, y: (outputs - y) ** 2
    )
    support = jaxmeta.Examples(jnp.ones((3, 1)), jnp.arange(6.0).reshape(3, 2))
    params = learner.init(jax.random.key(1), jaxmeta.Episode(support, support))
    card = export.write(tmp_path / "a.zip", learner, params, support)
    assert card["outputs"] == 2 and card["inputs"] == {"shape": [1], "dtype": "float32"}


def test_a_task_fitted_before_and_what_the_card_says(tmp_path):
    params, key, episode = setting(ROWS["ridge"])
    learner = ROWS["ridge"].learner
    adapted = learner.adapt(params, key, episode.support)
    about = {"classes": ["ant", "bee", "fly"], "licence": "MIT"}
    export.write(tmp_path / "a.zip", learner, params, episode.support, adapted=adapted, about=about)
    artefact = export.read(tmp_path / "a.zip")
    assert artefact.card["classes"] == ["ant", "bee", "fly"]
    outputs = artefact.predict(artefact.params, artefact.adapted, episode.query.x)
    np.testing.assert_allclose(
        outputs, learner.predict(params, adapted, episode.query.x), rtol=1e-5, atol=1e-6
    )
    with pytest.raises(ValueError, match="must not set 'files'"):
        exported(tmp_path / "b.zip", files=1)
    with pytest.raises(ValueError, match="what JSON holds"):
        exported(tmp_path / "b.zip", classes={1, 2})


def test_the_loader_of_the_docs_runs_with_jax_alone(tmp_path):
    params, key, episode = setting(ROWS["ridge"])
    learner = ROWS["ridge"].learner
    exported(tmp_path / "artefact.zip", classes=["ant", "bee", "fly"])
    np.save(tmp_path / "x.npy", episode.support.x, allow_pickle=False)
    np.save(tmp_path / "y.npy", episode.support.y, allow_pickle=False)
    loader = DOCS.read_text().split("<!-- loader -->")[1].split("```")[1].removeprefix("python")
    assert len(loader.strip().splitlines()) <= 20
    blocked = ("jaxmeta", "flax", "optax", "orbax", "safetensors", "sklearn")
    code = f"import sys\nsys.modules.update(dict.fromkeys({blocked}))\n{loader}\n" + (
        "import numpy as np\n"
        "params, adapt, predict, card = load('artefact.zip')\n"
        "x, y = np.load('x.npy'), np.load('y.npy')\n"
        "adapted = adapt(params, np.zeros(2, np.uint32), x, y)\n"
        "np.save('out.npy', predict(params, adapted, x), allow_pickle=False)\n"
        "print(card['classes'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['ant', 'bee', 'fly']"
    support = episode.support
    expected = learner.predict(params, learner.adapt(params, key, support), support.x)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, rtol=1e-5, atol=1e-6)


def parts_of(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def rewritten(path, change=None, card=None, compression=zipfile.ZIP_STORED, digests=True, more=()):
    """An artefact with other parts, whose card says their digests unless it is not to."""
    parts = parts_of(path)
    parts |= change or {}
    said = json.loads(parts.pop("card.json")) | (card or {})
    if digests:
        said["files"] = {name: export._digest(part) for name, part in parts.items()}
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in [("card.json", json.dumps(said)), *parts.items(), *more]:
            file.writestr(name, content)
    return path


class _Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


HOSTILE = {
    "a path that leaves the folder": {"more": [("../outside.txt", "x")]},
    "an absolute path": {"more": [("/outside.txt", "x")]},
    "a part twice": {"more": [("adapt.bin", b"x")]},
    "compressed parts": {"compression": zipfile.ZIP_DEFLATED},
    "a wrong digest": {"change": {"predict.bin": b"x"}, "digests": False},
    "a program that is none": {"change": {"predict.bin": b"x" * 1000}},
    "an empty program": {"change": {"adapt.bin": b""}},
    "parameters that are none": {"change": {"params.safetensors": b"\xff" * 64}},
    "no parameters": {"change": {"params.safetensors": safetensors.numpy.save({})}},
    "parameters of other shapes": {
        "change": {"params.safetensors": safetensors.numpy.save({"scale": np.zeros(3)})}
    },
    "another format": {"card": {"format": "jaxmeta artefact 99"}},
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_artefact_is_refused(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    path = rewritten(exported(tmp_path / "a.zip"), **HOSTILE[what])
    with pytest.raises(ValueError, match="is not an artefact that can be used"):
        export.read(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zip"]
    assert not (tmp_path.parent / "outside.txt").exists()


def test_a_zip_bomb_and_too_many_bytes_are_refused_unread(tmp_path, monkeypatch):
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("params.safetensors", bytes(10**8))
    assert bomb.stat().st_size < 10**6
    monkeypatch.setattr(zipfile.ZipFile, "read", None)  # The size alone must tell.
    with pytest.raises(ValueError, match="compressed or too large"):
        export.read(bomb)
    monkeypatch.setattr(export, "MOST_BYTES", 10)
    with pytest.raises(ValueError, match="bytes, more than 10"):
        export.read(bomb)


def test_a_pickle_is_never_run(tmp_path):
    pickled = pickle.dumps(_Touch(tmp_path / "ran"))
    for part in ("params.safetensors", "adapt.bin"):
        path = rewritten(exported(tmp_path / "a.zip"), change={part: pickled})
        with pytest.raises(ValueError, match="is not an artefact"):
            export.read(path)
    assert not (tmp_path / "ran").exists()


def test_a_program_that_calls_more_than_arithmetic_is_refused(tmp_path):
    target = "xla_ffi_python_cpu_callback"

    def call(params, key, x, y):
        del params, key, y
        return {"c": jax.ffi.ffi_call(target, jax.ShapeDtypeStruct((3,), jnp.float32))(x)}

    params, _, _ = setting(ROWS["ridge"])
    shapes = [{name: export._shape(leaf) for name, leaf in export.named(params).items()}]
    shapes += [export._SEED, *(jax.ShapeDtypeStruct((6, n), jnp.float32) for n in (SIZE, N_WAY))]
    unsafe = [jax.export.DisabledSafetyCheck.custom_call(target)]
    program = jax.export.export(jax.jit(call), disabled_checks=unsafe)(*shapes)
    path = rewritten(exported(tmp_path / "a.zip"), change={"adapt.bin": bytes(program.serialize())})
    with pytest.raises(ValueError, match=f"calls {target}"):
        export.read(path)


def test_damaged_parts_are_refused_or_read_but_never_end_python(tmp_path):
    random, path = np.random.default_rng(0), exported(tmp_path / "a.zip")
    whole, refused = path.read_bytes(), 0
    for case in range(60):
        path.write_bytes(whole)
        name = ("adapt.bin", "predict.bin", "params.safetensors", "card.json")[case % 4]
        content = bytearray(parts_of(path)[name])
        for place in random.integers(len(content), size=3):
            content[place] = random.integers(256)
        if name == "card.json":
            content = whole[: random.integers(len(whole))]
            path.write_bytes(content)
        else:
            # A damaged program goes no further than its digest: MLIR's reader, which a digest made
            # to fit would bring it to, can run for ever on one.
            rewritten(path, change={name: bytes(content)}, digests=not name.endswith(".bin"))
        try:
            export.read(path)
        except ValueError:
            refused += 1
    assert refused > 30


def test_what_is_not_there_or_is_no_zip(tmp_path):
    with pytest.raises(FileNotFoundError):
        export.read(tmp_path / "none.zip")
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(ValueError, match="is not an artefact"):
        export.read(tmp_path / "a.zip")
    with pytest.raises(OSError):
        export.read(tmp_path)
