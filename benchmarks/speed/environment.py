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


def create(folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Makes the environment once: the peers' Pythons, and why each missing peer is missing."""
    python, report = folder / "bin" / "python", folder / "missing.json"
    # Its requirements would change the JAX or NumPy of the others.
    apart = folder / "jax-meta" / "bin" / "python"
    pythons = dict.fromkeys(PEERS, python) | {"jax-meta": apart}
    if report.exists():
        return pythons, json.loads(report.read_text())
    print(f"installing the peers in {folder}, once", flush=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    _pip(python, ["torch", "numpy"], check=True)
    missing = {}
    for peer, needs in PEERS.items():
        for requirement in needs:
            failure = _pip(python, requirement)
            if failure:
                missing[peer] = failure
    subprocess.run([sys.executable, "-m", "venv", folder / "jax-meta"], check=True)
    if failure := _pip(apart, ["jax-meta"]):
        missing["jax-meta"] = failure
    for peer, interpreter in pythons.items():
        if peer not in missing and (failure := _imports(interpreter, peer)):
            missing[peer] = failure
    report.write_text(json.dumps(missing, indent=2) + "\n")
    return pythons, missing


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
    lines = [line.strip() for line in done.stderr.splitlines()]
    # The first line that says what broke; the last ones of pip say only that something did.
    errors = [line for line in lines if "rror:" in line and "subprocess" not in line]
    return f"{what}: {(errors or lines or ['no message'])[0][:200]}"
