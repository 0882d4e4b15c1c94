"""Every field of a recipe as a flag of the command line, named by the part that it belongs to.

The flags are made from the recipe's own parts, so those of a user's class are flags as well.
"""

import ast
import dataclasses
import inspect
import itertools
import textwrap
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import tyro

from jaxmeta.experiments.codec import field_names, hints_of, is_config
from jaxmeta.experiments.recipe import Recipe

# Short names of the fields that people set most; `--run-dir` is the tenth.
ALIASES = {
    "outer.steps": "steps",
    "outer.seed": "seed",
    "outer.outer_lr": "lr",
    "outer.meta_batch_size": "meta-batch-size",
    "learner.inner_lr": "inner-lr",
    "learner.inner_steps": "inner-steps",
    "task.n_way": "n-way",
    "task.k_shot": "k-shot",
    "task.data_dir": "data-dir",
}


class Flag(NamedTuple):
    """A field of a recipe that the command line can set."""

    path: str  # such as "learner.inner_lr"
    kind: Any  # its annotation
    value: Any
    text: str  # what its docstring says

    @property
    def name(self) -> str:
        """As it is typed."""
        return "--" + self.path.replace("_", "-")


def flags_of(recipe: Recipe) -> list[Flag]:
    """The fields of a recipe and of the frozen dataclasses in it."""
    return [flag for flag in _walk(recipe, "") if not flag.path.startswith("provenance.")]


def parse(
    options: Any, recipe: Recipe, arguments: Sequence[str], *, prog: str, description: str
) -> tuple[Any, Recipe]:
    """The options of a command and a recipe, with what the arguments set.

    `--help` shows the options and the fields with a short name, `--help-all` shows all.

    Args:
      options: frozen dataclass with the command's own options.
      recipe: whose fields are flags beside them.
      arguments: of the command line.
      prog, description: for the help.

    Raises:
      ValueError: a flag without its prefix belongs to more than one part; names them.
      SystemExit: the arguments are not understood, or the help is shown.
    """
    own = [
        Flag(name, hints_of(type(options))[name], getattr(options, name), text)
        for name, text in texts_of(type(options)).items()
    ]
    flags = flags_of(recipe)
    if "--help-all" in arguments:
        arguments = ["--help"]
    elif "--help" in arguments or "-h" in arguments:
        known = [flag for flag in flags if flag.path in ALIASES]
        description += f"\n\n{len(flags) - len(known)} further fields are shown by --help-all."
        flags = [flag._replace(path=ALIASES[flag.path].replace("-", "_")) for flag in known]
        arguments = ["--help"]
    headings = {
        name: (inspect.getdoc(type(getattr(recipe, name))) or "").partition("\n")[0]
        for name in field_names(recipe)
        if is_config(getattr(recipe, name))
    }
    kind = _dataclass(
        "Options", description, {flag.path: flag for flag in [*own, *flags]}, headings
    )
    arguments = _with_prefixes(arguments, [*own, *flags])
    found: Any = tyro.cli(kind, args=arguments, prog=prog, description=description)
    chosen = {flag.path: getattr(found, flag.path) for flag in own}
    return dataclasses.replace(options, **chosen), _with(recipe, found)


def texts_of(kind: type) -> dict[str, str]:
    """What the docstrings of a dataclass's fields say, by field; empty without one."""
    texts = dict.fromkeys((field.name for field in dataclasses.fields(kind) if field.init), "")
    for base in reversed(kind.__mro__):
        if base.__module__ == "builtins":
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError, SyntaxError):  # Of a class that has no file.
            continue
        body = getattr(tree.body[0], "body", [])
        for field, text in itertools.pairwise(body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and field.target.id in texts
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
                and isinstance(text.value.value, str)
            ):
                texts[field.target.id] = " ".join(text.value.value.split())
    return texts


def _walk(config: Any, prefix: str) -> Iterator[Flag]:
    hints, texts = hints_of(type(config)), texts_of(type(config))
    for name in field_names(config):
        value, path = getattr(config, name), f"{prefix}{name}"
        if is_config(value):
            yield from _walk(value, f"{path}.")
        elif (kind := _kind(hints[name], value)) is not None:
            yield Flag(path, kind, value, texts[name])


def _kind(hint, value):
    """What tyro is to parse; None of what cannot be typed, such as arrays and functions."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    is_plain = isinstance(value, (bool, int, float, str))
    if _is_typed(hint) and (is_plain or value is None or type(value) is tuple):
        return hint
    return type(value) if is_plain else None


def _is_typed(hint):
    if hint in (bool, int, float, str, type(None)) or get_origin(hint) is Literal:
        return True
    parts = [part for part in get_args(hint) if part is not Ellipsis]
    is_compound = get_origin(hint) in (tuple, Union) or type(hint).__name__ == "UnionType"
    return is_compound and bool(parts) and all(map(_is_typed, parts))


def _dataclass(name: str, text: str, flags: dict[str, Flag], headings: dict[str, str]) -> type:
    """A dataclass of flags by the rest of their path; those of a part are one of their own."""
    fields: list = []
    parts: dict[str, dict[str, Flag]] = {}
    for path, flag in flags.items():
        part, _, rest = path.partition(".")
        parts.setdefault(part, {})[rest] = flag
    for part, inside in parts.items():
        if "" in inside:
            flag = inside[""]
            aliases = [f"--{ALIASES[flag.path]}"] if flag.path in ALIASES else []
            about = tyro.conf.arg(help=flag.text, aliases=aliases)
            default = dataclasses.field(default=flag.value)
            fields.append((part, Annotated[flag.kind, about], default))
        else:
            kind = _dataclass(part, headings.get(part, ""), inside, {})
            fields.append((part, kind, dataclasses.field(default_factory=kind)))
    return dataclasses.make_dataclass(name, fields, frozen=True, namespace={"__doc__": text})


def _with_prefixes(arguments: Sequence[str], flags: Sequence[Flag]) -> list[str]:
    """The arguments with the prefix of every flag that only one part has, where it was left out."""
    known = {flag.name for flag in flags} | {f"--{alias}" for alias in ALIASES.values()}
    by_field: dict[str, list[str]] = {}
    for flag in flags:
        part, _, field = flag.name.removeprefix("--").rpartition(".")
        by_field.setdefault(field, []).append(f"--{part}.{field}" if part else f"--{field}")

    def whole(word):
        flag, mark, value = word.partition("=")
        flag = flag.replace("_", "-")
        if not word.startswith("--") or flag in known:
            return word
        field = flag.removeprefix("--")
        turn = "no-" if field not in by_field and field.startswith("no-") else ""
        found = by_field.get(field.removeprefix(turn), [])
        if len(found) > 1:
            raise ValueError(f"{flag} is a field of several parts: give {' or '.join(found)}.")
        if not found:
            return word
        part, dot, name = found[0].rpartition(".")
        return f"{part}{dot}{turn}{name}{mark}{value}" if dot else word

    return [whole(word) for word in arguments]


def _with(config: Any, found: Any) -> Any:
    """The config with what was parsed; itself where nothing was changed."""
    changes = {}
    for field in dataclasses.fields(found):
        if field.name not in field_names(config):
            continue
        before, now = getattr(config, field.name), getattr(found, field.name)
        now = _with(before, now) if is_config(before) else now
        if now is not before:
            changes[field.name] = now
    return dataclasses.replace(config, **changes) if changes else config
