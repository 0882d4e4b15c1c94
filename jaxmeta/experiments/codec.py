"""Frozen dataclasses as JSON that says of each what it is, and back.

A dataclass becomes an object with its class's name under `type`, a tuple a list. Reading follows
the annotations of the fields: what may stand there is what the field may hold, and nothing else is
ever made.

A class that is not jaxmeta's has the mark `own:` before its name, and what JSON cannot hold, such
as arrays and functions, is written as that mark and a digest of its arrays. Both are read only
where the object itself is given, from the user's file: see `jaxmeta.experiments.own`.
"""

import dataclasses
import functools
import hashlib
import inspect
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import jax
import numpy as np

TYPE, OWN, DIGEST = "type", "own:", "sha256"


def encode(value: Any) -> Any:
    """What JSON can hold of a config."""
    if is_config(value):
        fields = {name: encode(getattr(value, name)) for name in field_names(value)}
        return {TYPE: tag_of(type(value)), **fields}
    if type(value) is tuple:
        return [encode(part) for part in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return {TYPE: tag_of(type(value)), DIGEST: _digest(value)}


def decode(kind: Any, content: Any, name: str = "config", own: Any = None) -> Any:
    """The config that `encode` has written; fields that are not there have their defaults.

    Args:
      kind: what it is: a dataclass, a union, or the annotation of a field.
      content: what JSON gives.
      name: of the field, for errors.
      own: what stands there in the user's file; None: nothing of a user may stand there.

    Raises:
      ValueError: it is something else; names the field, what it may be and what it is.
    """
    choices = _choices(kind)
    if isinstance(content, dict):
        return _object(choices, content, name, own)
    for choice in choices:
        is_tuple = get_origin(choice) is tuple or choice is tuple
        if isinstance(content, list) and (is_tuple or _is_open(choice, own)):
            return _tuple(choice, content, name, own)
        if get_origin(choice) is Literal and content in get_args(choice):
            return content
        # An int is a float too, a bool is neither.
        if choice is float and type(content) is int:
            return float(content)
        if type(content) is choice or _is_open(choice, own):
            return content
    raise ValueError(f"{name} must be {_words(choices)}, got {content!r}.")


def is_own(content: Any) -> bool:
    """Whether anything in it, as `encode` gives it, is read from the user's code alone."""
    if isinstance(content, list):
        return any(map(is_own, content))
    if not isinstance(content, dict):
        return False
    tag = content.get(TYPE)
    is_here = DIGEST in content or (isinstance(tag, str) and tag.startswith(OWN))
    return is_here or any(map(is_own, content.values()))


def is_config(value: Any) -> bool:
    """Whether it is a frozen dataclass, which is written field by field.

    One of arrays, such as `ClassData`, is data and no config.
    """
    about: Any = getattr(type(value), "__dataclass_params__", None)
    if about is None or not about.frozen:
        return False
    return not any(isinstance(getattr(value, name), _ARRAYS) for name in field_names(value))


def field_names(config: Any) -> list[str]:
    """The fields of a dataclass that its constructor takes."""
    return [field.name for field in dataclasses.fields(config) if field.init]


def hints_of(kind: type) -> dict[str, Any]:
    """The annotations of a dataclass's fields; Any where a name in one is not to be found."""
    try:
        return get_type_hints(kind)
    except NameError:  # Of a class inside a function.
        return {field.name: Any for field in dataclasses.fields(kind)}


def tag_of(kind: type) -> str:
    """The name under which a class is written."""
    return kind.__name__ if kind.__module__.split(".")[0] == "jaxmeta" else OWN + kind.__qualname__


_ARRAYS = (np.ndarray, jax.Array)


def _digest(value):
    """Of all arrays and functions in it: in containers, dataclasses and named tuples."""
    digest = hashlib.sha256()
    for part in _parts_of(value):
        if isinstance(part, _ARRAYS):
            array = np.ascontiguousarray(part)
            digest.update(f"{array.dtype} {array.shape} ".encode())
            digest.update(array.view(np.uint8).data if array.size else b"")
        elif callable(part):
            digest.update(_described(part).encode())
    return digest.hexdigest()


def _described(function):
    """Name and, where it can be had, source of a function."""
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '')} "
    try:
        return name + inspect.getsource(function)
    except (OSError, TypeError):
        return name


def _parts_of(value):
    """What stands in it, in order, at any depth."""
    if isinstance(value, functools.partial):
        yield from _parts_of((value.func, value.args, value.keywords))
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _parts_of(part)
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            yield from _parts_of(value[key])
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _parts_of(getattr(value, field.name))
    else:
        yield value


def _choices(kind):
    """The members of a union."""
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _is_open(choice, own):
    """Whether any plain value may stand in a field of a user's class."""
    return choice is Any and own is not None


def _object(choices, content, name, own):
    tag = content.get(TYPE)
    if own is not None and tag == tag_of(type(own)):
        if is_config(own):
            return _dataclass(type(own), content, own)
        if encode(own) != content:
            raise ValueError(f"{name} holds other arrays than the run was made with.")
        return own
    if isinstance(tag, str) and (tag.startswith(OWN) or DIGEST in content):
        raise ValueError(f"{name} holds {tag.removeprefix(OWN)!r} from code that was not given")
    classes = {choice.__name__: choice for choice in choices if isinstance(choice, type)}
    if tag not in classes or not dataclasses.is_dataclass(classes[tag]):
        raise ValueError(f"{name} must be one of {_words(choices)}, got type {tag!r}.")
    return _dataclass(classes[tag], content, None)


def _dataclass(kind, content, own):
    annotations = hints_of(kind)
    hints = {name: annotations[name] for name in field_names(kind)}
    unknown = sorted(set(content) - set(hints) - {TYPE})
    if unknown:
        raise ValueError(
            f"{kind.__name__} has no field {unknown[0]!r}; the fields are "
            f"{', '.join(sorted(hints))}."
        )
    return kind(
        **{
            name: decode(hint, content[name], name, getattr(own, name, None))
            for name, hint in hints.items()
            if name in content
        }
    )


def _tuple(kind, content, name, own):
    kinds = get_args(kind) or (Any, ...)
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(content)
    if len(kinds) != len(content):
        raise ValueError(f"{name} must have {len(kinds)} entries, got {len(content)}.")
    owns = own if isinstance(own, tuple) and len(own) == len(content) else (own,) * len(content)
    parts = zip(kinds, content, owns, strict=True)
    return tuple(decode(part, value, name, whose) for part, value, whose in parts)


def _words(choices):
    """What a field may hold, in words."""
    words: list[str] = []
    for choice in choices:
        if get_origin(choice) is Literal:
            words += map(repr, get_args(choice))
        elif choice is not Any:
            words.append(getattr(choice, "__name__", str(choice)))
    return ", ".join(words).replace("NoneType", "None")
