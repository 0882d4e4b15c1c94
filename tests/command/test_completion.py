import ast
import shutil
import subprocess

import pytest

from jaxmeta import recipes
from jaxmeta.command import cli


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("completion") / "jaxmeta.sh"
    with pytest.MonkeyPatch.context() as patch:
        printed = []
        patch.setattr("builtins.print", lambda *words, **_: printed.extend(words))
        with pytest.raises(SystemExit) as end:
            cli.main(["--tyro-print-completion", "bash"])
    assert end.value.code in (None, 0)
    path.write_text("\n".join(map(str, printed)))
    return path


def test_it_knows_every_command_and_recipe(script):
    line = next(line for line in script.read_text().splitlines() if "COMPLETION_SPEC =" in line)
    commands = ast.literal_eval(line.partition("=")[2].strip())["subcommands"]
    assert set(commands) == set(cli.COMMANDS)
    assert set(commands["train"]["subcommands"]) == set(recipes.ALL)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    "words, found",
    [
        (["ev"], "evaluate"),
        (["train", "sinusoid-m"], "sinusoid-maml sinusoid-meta-sgd"),
        (["resume", "--st"], "--steps"),
    ],
)
def test_bash_completes(words, found, script):
    typed = " ".join(["jaxmeta", *words])
    code = f"source {script}; COMP_WORDS=({typed}); COMP_CWORD={len(words)}; _tyro_jaxmeta"
    done = subprocess.run(
        ["bash", "-c", f'{code}; echo "${{COMPREPLY[@]}}"'], capture_output=True, text=True
    )
    assert done.stdout.split()[: len(found.split())] == found.split()  # Its help may follow.
