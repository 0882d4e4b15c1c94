"""Recipes from a user's own file: parts that are not jaxmeta's, and who may run their code.

To read a run with such parts is to execute the file that they come from. That happens for a file
that was named to this process, by `jaxmeta train FILE`, by `--code FILE` or by `allow`, and never
because a run folder says so.
"""

import functools
import hashlib
import sys
import types
from pathlib import Path
from typing import Any, NamedTuple

from jaxmeta.experiments.codec import decode, is_own
from jaxmeta.experiments.recipe import Recipe

ATTRIBUTE = "recipe"  # of a file, where none is named

# What this process was told that it may run: files by the digest of their contents, and recipes.
_FILES: dict[str, Path] = {}
_RECIPES: list[Recipe] = []


class CodeError(ValueError):
    """Code of the user's own that was not allowed, or does not hold what it should."""


class OwnCode(NamedTuple):
    """A file of the user's, with the recipe in it."""

    path: Path
    attribute: str
    sha256: str
    source: bytes
    recipe: Recipe

    @property
    def name(self) -> str:
        """Of the recipe."""
        stem = self.path.stem
        return stem if self.attribute == ATTRIBUTE else f"{stem}.{self.attribute}"

    @property
    def copy(self) -> str:
        """The file in a run folder that keeps the source; another source has another name."""
        return _copy(str(self.path), self.sha256)

    def entry(self) -> dict[str, str]:
        """What `config.json` says of it."""
        return {"file": str(self.path), "attribute": self.attribute, "sha256": self.sha256}


def is_file(name: str) -> bool:
    """Whether the name of a recipe is that of a user's file, such as `mine.py:recipe`."""
    return name.partition(":")[0].endswith(".py")


def load(name: str) -> OwnCode:
    """Executes a user's file and takes a recipe from it.

    Args:
      name: `mine.py:recipe`, or `mine.py` where the recipe is called `recipe`.

    Raises:
      FileNotFoundError: there is no such file.
      CodeError: it cannot be executed, or it holds no recipe of that name; names both.
    """
    file, _, attribute = name.partition(":")
    path = _path(file)
    source = path.read_bytes()
    sha256 = hashlib.sha256(source).hexdigest()
    _FILES[sha256] = path
    attribute = attribute or ATTRIBUTE
    return OwnCode(path, attribute, sha256, source, _recipe(path, source, attribute))


def allow(code: str | Path | Recipe) -> None:
    """Lets this process execute a file, or use a recipe, to read the runs that were made with it.

    Args:
      code: a file, which is executed when a run of it is read, and never before; or the recipe
        itself, for runs that were trained from Python without a file.

    Raises:
      FileNotFoundError: there is no such file.
    """
    if isinstance(code, Recipe):
        _RECIPES.append(code)
    else:
        path = _path(str(code).partition(":")[0])
        _FILES[hashlib.sha256(path.read_bytes()).hexdigest()] = path


def allowed_files() -> list[Path]:
    """The files that this process was told that it may execute."""
    return list(_FILES.values())


def read(fields: Any, code: Any, where: Path) -> Recipe:
    """The recipe that `encode` has written into a run folder.

    Args:
      fields: what JSON gives.
      code: what `OwnCode.entry` said, or None.
      where: the run folder, for errors.

    Raises:
      ValueError: it is no recipe.
      CodeError: its code was not allowed to be executed; says how to.
    """
    if code is not None:
        return decode(Recipe, fields, "recipe", _allowed(code, where))
    found: Any = None
    for recipe in (None, *reversed(_RECIPES)):
        try:
            return decode(Recipe, fields, "recipe", recipe)
        except ValueError as error:
            found = error
    if not is_own(fields):
        raise found
    raise CodeError(
        f"{where} was trained from Python with parts of its own ({found}): build that recipe "
        "again and call `jaxmeta.runs.allow(recipe)` first."
    ) from found


def _allowed(code, where):
    """The recipe of the file that a run folder names, where this process was told of that file."""
    keys = ("file", "attribute", "sha256")
    if not isinstance(code, dict) or not all(isinstance(code.get(key), str) for key in keys):
        raise ValueError(f"its code must name {', '.join(keys)}, got {code!r}")
    file, attribute, sha256 = (code[key] for key in keys)
    if sha256 in _FILES:
        path = _FILES[sha256]
        source = path.read_bytes()
        if hashlib.sha256(source).hexdigest() != sha256:
            raise CodeError(f"{path} has changed while this process ran.")
        return _recipe(path, source, attribute)
    others = ", ".join(sorted({str(path) for path in _FILES.values()}))
    said = f" The contents of {others} are not those of that file." if others else ""
    raise CodeError(
        f"{where} was trained with code of {file}, which has to be executed to read the run.{said} "
        f"If you trust that code, add `--code {where / _copy(file, sha256)}`, its copy in the run "
        "folder, or `--code` with the file itself where it has not changed; from Python call "
        "`jaxmeta.runs.allow(FILE)` first."
    )


def _copy(file, sha256):
    return f"code/{Path(file).stem}-{sha256[:8]}.py"


def _path(file):
    path = Path(file).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"{file} is not there: give a Python file, such as mine.py:recipe.")
    return path


def _recipe(path, source, attribute):
    module = _execute(path, source)
    if not isinstance(found := getattr(module, attribute, None), Recipe):
        names = [name for name, value in vars(module).items() if isinstance(value, Recipe)]
        raise CodeError(
            f"{path.name} must hold a jaxmeta.experiments.Recipe called {attribute!r}; it holds "
            f"{', '.join(names) or 'none'}."
        )
    return found


@functools.cache  # So that its classes are the same however often a run is read.
def _execute(path, source):
    module = types.ModuleType(f"_own_{hashlib.sha256(source).hexdigest()[:12]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # Where dataclasses look for it.
    # For files beside it, as `python mine.py` has it, but never before an installed package; and
    # not beside the copy in a run folder, which may be a stranger's.
    is_copy = (path.parent.parent / "config.json").exists()
    if not is_copy and str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    try:
        exec(compile(source, str(path), "exec"), vars(module))
    except Exception as error:
        del sys.modules[module.__name__]
        line = _line(error, path)
        raise CodeError(
            f"{path.name} cannot be executed{line}: {type(error).__name__}: {error}"
        ) from error
    return module


def _line(error, path):
    """The last line of the file that an error went through."""
    number = error.lineno if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == str(path):
            number = trace.tb_lineno
        trace = trace.tb_next
    return f", line {number}" if number else ""
