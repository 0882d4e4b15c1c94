"""The learner that CONTRIBUTING adds in four files passes the checks of every learner."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# A sentence that names a file, and the blocks that follow it.
PART = re.compile(
    r"^`([\w/.]+)`, [^\n]+:\n((?:\n```(?:python|diff)\n.*?^```\n)+)", re.DOTALL | re.MULTILINE
)
BLOCK = re.compile(r"^```(python|diff)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def edited(text, diff):
    """The text with one change made: lines that stay or go, and those that stay or come."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] != "+")
    after = "".join(line[1:] for line in lines if line[0] != "-")
    assert text.count(before) == 1, before
    return text.replace(before, after)


def test_a_learner_is_added_in_four_files(tmp_path):
    for name in ("jaxmeta", "tests", "pyproject.toml", "setup.cfg", "README.md"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    changed = []
    for name, blocks in PART.findall((ROOT / "CONTRIBUTING.md").read_text()):
        path = tmp_path / name
        for kind, block in BLOCK.findall(blocks):
            path.write_text(block if kind == "python" else edited(path.read_text(), block))
        changed.append(path)
    new = [path for path in changed if not (ROOT / path.relative_to(tmp_path)).exists()]
    assert (len(changed), len(new)) == (4, 2)
    settings = os.environ | {"PYTHONPATH": str(tmp_path)}
    tested = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, changed)]
    done = subprocess.run(
        [*tested, "-k", "simple_shot"], cwd=tmp_path, env=settings, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 8
    lint = [sys.executable, "-m", "ruff", "check", "-q", *map(str, changed)]
    subprocess.run(lint, cwd=tmp_path, check=True)
