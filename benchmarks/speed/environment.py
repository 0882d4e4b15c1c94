"""The extra environment that peers live in."""

import json
import subprocess
import sys
from pathlib import Path

PEERS = {  # what a peer needs beside torch, and how to install it
    "torch loop": [],
    "torch.func": [],
    "higher": [["higher", "--no-deps"]],
    "TorchOpt": [["torchopt"]],
    "learn2learn": [["learn2learn"]],
    "easyfsl": [["easyfsl"]],
}
IMPORTS = {
    "torch loop": "torch",
    "torch.func": "torch.func",
    "higher": "higher",
    "TorchOpt": "torchopt",
    "learn2learn": "learn2learn",
    "easyfsl": "easyfsl.methods",
    "jax-meta": "jax_meta",
}


def create(folder: Path) -> tuple[Path, dict[str, str]]:
    """Makes the environment once: its Python, and why each missing peer is missing."""
    python, report = folder / "bin" / "python", folder / "missing.json"
    if report.exists():
        return python, json.loads(report.read_text())
    print(f"installing the peers in {folder}, once", flush=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    _pip(python, ["torch", "numpy"], check=True)
    missing = {}
    for peer, needs in PEERS.items():
        for requirement in needs:
            failure = _pip(python, requirement)
            if failure:
                missing[peer] = failure
    # A JAX of its own time would be needed: in an environment by itself.
    old = folder / "jax-meta"
    subprocess.run([sys.executable, "-m", "venv", old], check=True)
    failure = _pip(old / "bin" / "python", ["jax-meta"]) or _imports(
        old / "bin" / "python", "jax-meta"
    )
    if failure:
        missing["jax-meta"] = failure
    for peer in PEERS:
        if peer not in missing and (failure := _imports(python, peer)):
            missing[peer] = failure
    report.write_text(json.dumps(missing, indent=2) + "\n")
    return python, missing


def _pip(python, requirements, check=False):
    """The last line of what went wrong, or an empty string."""
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", *requirements],
        capture_output=True,
        text=True,
        check=check,
    )
    return _why(done, "does not install")


def _imports(python, peer):
    done = subprocess.run([python, "-c", f"import {IMPORTS[peer]}"], capture_output=True, text=True)
    return _why(done, "installs, but does not import")


def _why(done, what):
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if "rror" in line] or ["no message"]
    return f"{what}: {lines[-1].strip()[:200]}"
