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


def test_it_is_short():
    assert len(README.splitlines()) < 130


def test_every_link_leads_to_a_file():
    for link in re.findall(r"\]\(([^)#]+)", README):
        assert link.startswith("https://") or (ROOT / link).exists(), link


def test_there_are_no_other_snippets():
    assert len(SNIPPETS) == 1


@pytest.mark.parametrize(
    "name, page", [("results_table", "docs/results.md"), ("speed_table", "docs/performance.md")]
)
def test_the_tables_are_those_of_the_committed_files(name, page):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"benchmarks/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.headline() in README
    assert module.table() in (ROOT / page).read_text()


def test_environment_steps_are_those_of_the_committed_file():
    result = json.loads((ROOT / "benchmarks/results/rl_steps_per_second.json").read_text())
    page = (ROOT / "docs/performance.md").read_text()
    for name, rate in result["environment_steps_per_second"].items():
        ratio = "" if name == "jaxmeta" else f"{result['times_faster'][name]} "
        assert f" | {rate} | {ratio}|" in page


def test_the_memory_of_the_inner_loop_is_that_of_the_committed_file():
    result = json.loads((ROOT / "benchmarks/results/inner_loop_memory.json").read_text())
    page = (ROOT / "docs/performance.md").read_text()
    rows = {"inner steps": result["inner_steps"], **result["temporaries_mib"]}
    for name, values in rows.items():
        assert f"| {name} | {' | '.join(map(str, values))} |" in page


def test_profile_and_first_step_are_those_of_the_committed_files():
    page = (ROOT / "docs/performance.md").read_text()
    profile = json.loads((ROOT / "benchmarks/results/profile_step.json").read_text())
    for part, row in profile["parts"].items():
        assert f"| {part} | {row['ms']} | {row['share']:.0%} | {row['operations']} |" in page
    start = json.loads((ROOT / "benchmarks/results/time_to_first_step.json").read_text())
    for name, seconds in start["seconds"].items():
        assert f"| {name} | {seconds} |" in page
    scaling = json.loads((ROOT / "benchmarks/results/scaling.json").read_text())
    for name, axis in scaling["axes"].items():
        cells = ", ".join(map(str, axis["values"])), ", ".join(map(str, axis["ms"]))
        assert f"| {name.replace('_', ' ')} | {' | '.join(cells)} | {axis['slope']} |" in page


def test_the_hypertransformer_s_step_is_that_of_the_committed_file():
    page = (ROOT / "docs/performance.md").read_text()
    path = ROOT / "benchmarks/results/hypertransformer_step.json"
    (row,) = json.loads(path.read_text())["rows"]
    encoders = f"{row['milliseconds_of_its_encoders']:.1f} ms, {row['share_of_encoders']:.0%}"
    for cells in (
        f"of 4 tasks | {row['milliseconds_per_step']:.1f} ms",
        f"of one task | {row['milliseconds_per_task']:.1f} ms",
        f"transformer encoders | {encoders}".replace("%", " %"),
        f"the gradient | {row['seconds_to_compile_the_gradient']:.1f} s",
        f"and ten of them | {row['seconds_to_compile_and_run_ten_steps']:.1f} s",
    ):
        assert f"{cells} |" in page
    assert row["seconds_to_compile_and_run_ten_steps"] < 60


def test_paired_differences_are_those_of_the_committed_file():
    rows = json.loads((ROOT / "benchmarks/results/paired_runs.json").read_text())["runs"]
    page = (ROOT / "docs/results.md").read_text().replace("\n", " ")
    more = {row["run"]: row["more_than_first"] for row in rows[1:]}
    behind, interval = more["omniglot-maml-20w1s-8-channels"]
    assert f"{-behind:.1f} ± {interval:.1f} points behind" in page
    ahead, interval = more["omniglot-hypertransformer-20w1s-2-unlabelled"]
    assert f"bring {ahead:.1f} ± {interval:.1f} points" in page


def test_the_learned_optimiser_s_numbers_are_those_of_the_committed_file():
    path = ROOT / "benchmarks/results/learned_optimizer.json"
    page = (ROOT / "docs/results.md").read_text()
    for name, result in json.loads(path.read_text())["results"].items():
        numbers = [result["loss"], *([result["more"]] if "more" in result else [])]
        cells = [f"{mean:.4f} ± {interval:.4f}" for mean, interval in numbers]
        assert f"| {name} | {' | '.join(cells)} |" in page


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda p: p.name)
def test_every_benchmark_says_its_command(path):
    assert f"python benchmarks/{path.name}" in path.read_text().split('"""')[1]
