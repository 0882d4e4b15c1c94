import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import jaxmeta

PACKAGE = Path(jaxmeta.__file__).parent


@pytest.mark.parametrize(
    "module", [jaxmeta, jaxmeta.datasets, jaxmeta.networks, jaxmeta.rl, jaxmeta.tasks]
)
def test_every_public_name_is_there_and_explained(module):
    for name in module.__all__:
        assert inspect.getdoc(getattr(module, name)), name


def test_the_version_is_that_of_the_metadata():
    assert f"version = {jaxmeta.__version__}\n" in (PACKAGE.parent / "setup.cfg").read_text()


def test_the_public_names_are_sorted():
    assert jaxmeta.__all__ == sorted(jaxmeta.__all__)


# What only a run, a picture or a table needs.
HEAVY = "matplotlib PIL rich orbax tensorstore tyro tensorboardX sklearn scipy pandas onnx grain"


def test_importing_starts_no_jax_and_loads_nothing_that_it_does_not_use():
    code = (
        "import sys, jax, flax.linen, flax.nnx, optax; theirs = {*sys.modules}\n"
        "import jaxmeta, jaxmeta.command.cli; from jax._src import xla_bridge\n"
        f"print(xla_bridge._backends, {{*{HEAVY.split()}}} & {{*sys.modules}} - theirs)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{} set()"


def test_no_module_starts_jax_when_imported():
    """The command sets the number of devices afterwards."""
    code = (
        "import importlib, pkgutil, jaxmeta; from jax._src import xla_bridge\n"
        "for module in pkgutil.walk_packages(jaxmeta.__path__, 'jaxmeta.'):\n"
        "    if module.name != 'jaxmeta.__main__': importlib.import_module(module.name)\n"
        "    assert not xla_bridge._backends, module.name"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_imported_later_is_there_as_an_attribute():
    code = (
        "import jaxmeta; assert {*jaxmeta.__all__} == {*dir(jaxmeta)}\n"
        "print(jaxmeta.runs.train.__name__, jaxmeta.recipes.find.__name__, jaxmeta.fit.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "train find fit\n"
    with pytest.raises(AttributeError, match="no attribute 'omniglott'"):
        _ = jaxmeta.datasets.omniglott


# The house of DESIGN.md, top floor first; what stands on one line may not import each other, but
# for `inner`, whose implicit and explicit loops are used by nobody here.
FLOORS = [
    {"command", "__main__"},
    {"recipes", "plots"},
    {"estimator"},
    {"runs", "answers", "export", "heads", "padded", "pictures"},
    {"experiments"},
    {"training", "learners", "tasks", "datasets", "rl", "analysis"},
    {"episodes", "inner", "networks", "losses", "transforms"},
    {"nnx_modules", "padding"},
    {"net"},
    {"batch_statistics", "doors", "support"},
    {"learner"},
    {"checks", "trees"},
]


def floor(module):
    for number, names in enumerate(FLOORS):
        if module in names:
            return number
    raise AssertionError(f"{module} has no floor")


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("jaxmeta"):
            parts = node.module.split(".")
            if len(parts) > 1:
                yield parts[1]
            else:
                yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (
                alias.name.split(".")[1]
                for alias in node.names
                if alias.name.startswith("jaxmeta.")
            )


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_imports_run_down_only(path):
    here = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if here == "__init__":
        return
    for there in set(imports(path)) - {here}:
        assert floor(there) >= floor(here), f"{path} imports {there}"
        assert here != "training" or there not in ("learners", "tasks", "rl", "datasets")
        assert (here, there) not in (("recipes", "plots"), ("plots", "recipes"))
        assert here != "learners" or there not in ("training", "tasks", "datasets", "rl")


def test_training_touches_no_disk():
    for path in (PACKAGE / "training").glob("*.py"):
        for word in ("orbax", "import json", "open(", "import shutil", "mkdir", "write_"):
            assert word not in path.read_text(), f"{path} has {word}"


def test_no_learner_family_imports_another():
    families = [path.name for path in (PACKAGE / "learners").iterdir() if path.is_dir()]
    for family in families:
        for path in (PACKAGE / "learners" / family).glob("*.py"):
            text = path.read_text()
            for other in set(families) - {family}:
                assert f"learners.{other}" not in text, path
