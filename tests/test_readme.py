import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_first_example_runs_and_learns(capsys):
    exec(compile(SNIPPETS[0], "README.md", "exec"), {})
    mse = float(re.search(r"MSE ([\d.]+) ± ", capsys.readouterr().out)[1])
    # Predicting zero has the error E[a^2] / 2 = 4.3; so early one step already beats that.
    assert mse < 4.0


def test_the_learner_of_the_readme_is_nearest_class_mean():
    import jax
    import jax.numpy as jnp
    import numpy as np

    import jaxmeta

    names: dict = {}
    exec(compile(SNIPPETS[1], "README.md", "exec"), names)
    learner = names["class_means"]()
    episode = jaxmeta.make_episode(
        [[0.0, 0.0], [2.0, 0.0], [5.0, 5.0]], [0, 0, 1], [[1.0, 1.0]], [0]
    )
    key = jax.random.key(0)
    params = learner.init(key, episode)
    loss, logits = learner.loss(params, key, episode)
    np.testing.assert_allclose(logits, [[-1.0, -32.0]])
    np.testing.assert_allclose(loss, jnp.log1p(jnp.exp(-31.0)), atol=1e-6)


def test_there_are_no_other_snippets():
    assert len(SNIPPETS) == 2


def test_the_results_are_those_of_the_committed_files():
    spec = importlib.util.spec_from_file_location("results", ROOT / "benchmarks/results_table.py")
    results = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(results)
    assert results.table() in README


def test_the_speeds_are_those_of_the_committed_file():
    path = ROOT / "benchmarks/results/meta_step_against_torch.json"
    for name, result in json.loads(path.read_text())["results"].items():
        row = (
            f"{result['jaxmeta_ms']:.2f} | {result['torch_ms']:.1f} | {result['times_faster']:.1f}"
        )
        assert row in README, name


def test_environment_steps_are_those_of_the_committed_file():
    result = json.loads((ROOT / "benchmarks/results/rl_steps_per_second.json").read_text())
    for name, rate in result["environment_steps_per_second"].items():
        ratio = "" if name == "jaxmeta" else f"{result['times_faster'][name]} "
        assert f" | {rate} | {ratio}|" in README


def test_the_memory_of_the_inner_loop_is_that_of_the_committed_file():
    result = json.loads((ROOT / "benchmarks/results/inner_loop_memory.json").read_text())
    page = (ROOT / "docs/performance.md").read_text()
    for name, values in result["temporaries_mib"].items():
        assert f"| {name} | {' | '.join(map(str, values))} |" in page


def test_the_learned_optimiser_s_numbers_are_those_of_the_committed_file():
    path = ROOT / "benchmarks/results/learned_optimizer.json"
    for name, result in json.loads(path.read_text())["results"].items():
        numbers = [result["loss"], *([result["more"]] if "more" in result else [])]
        cells = [f"{mean:.4f} ± {interval:.4f}" for mean, interval in numbers]
        assert f"| {name} | {' | '.join(cells)} |" in README


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda p: p.name)
def test_every_benchmark_says_its_command(path):
    assert f"python benchmarks/{path.name}" in path.read_text().split('"""')[1]
