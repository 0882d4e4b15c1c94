"""Dozens of faults here, hundreds in the slow set; `faults.py` says what they are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

SCRIPT = Path(__file__).with_name("faults.py")


def losses(tmp_path, faults, seed):
    out = tmp_path / "faults.json"
    done = subprocess.run(
        [sys.executable, SCRIPT, "--faults", str(faults), "--seed", str(seed), "--out", out],
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
        | {"JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir)},
    )
    assert out.exists(), done.stderr
    result = json.loads(out.read_text())
    assert result["total"] >= faults
    assert result["losses"] == 0, done.stdout
    return result


def test_dozens_of_faults_lose_nothing(tmp_path):
    result = losses(tmp_path, 24, seed=0)
    assert result["legs ended"]["killed"] > 3


@pytest.mark.slow
def test_hundreds_of_faults_lose_nothing(tmp_path):
    result = losses(tmp_path, 300, seed=1)
    assert len(result["faults"]) >= 10
