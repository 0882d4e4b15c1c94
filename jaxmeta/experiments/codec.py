"""Frozen dataclasses as JSON that says of each what it is, and back.

A dataclass becomes an object with its class's name under `type`, a tuple a list. Reading follows
the annotations of the fields: what may stand there is what the field may hold, and nothing else is
ever made.
"""

import dataclasses
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

TYPE = "type"


def encode(value: Any) -> Any:
    """What JSON can hold of a config."""
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {TYPE: type(value).__name__} | {name: encode(part) for name, part in fields.items()}
    return [encode(part) for part in value] if isinstance(value, tuple) else value


def decode(kind: Any, content: Any, name: str = "config") -> Any:
    """The config that `encode` has written; fields that are not there have their defaults.

    Args:
      kind: what it is: a dataclass, a union, or the annotation of a field.
      content: what JSON gives.
      name: of the field, for errors.

    Raises:
      ValueError: it is something else; names the field, what it may be and what it is.
    """
    choices = _choices(kind)
    if isinstance(content, dict):
        classes = {choice.__name__: choice for choice in choices if isinstance(choice, type)}
        tag = content.get(TYPE)
        if tag not in classes or not dataclasses.is_dataclass(classes[tag]):
            raise ValueError(f"{name} must be one of {_words(choices)}, got type {tag!r}.")
        return _dataclass(classes[tag], content)
    for choice in choices:
        if get_origin(choice) is tuple and isinstance(content, list):
            return _tuple(choice, content, name)
        if get_origin(choice) is Literal and content in get_args(choice):
            return content
        # An int is a float too, a bool is neither.
        if choice is float and type(content) is int:
            return float(content)
        if type(content) is choice:
            return content
    raise ValueError(f"{name} must be {_words(choices)}, got {content!r}.")


def _choices(kind):
    """The members of a union."""
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _dataclass(kind, content):
    annotations = get_type_hints(kind)
    hints = {field.name: annotations[field.name] for field in dataclasses.fields(kind)}
    unknown = sorted(set(content) - set(hints) - {TYPE})
    if unknown:
        raise ValueError(
            f"{kind.__name__} has no field {unknown[0]!r}; the fields are "
            f"{', '.join(sorted(hints))}."
        )
    return kind(
        **{
            name: decode(hint, content[name], name)
            for name, hint in hints.items()
            if name in content
        }
    )


def _tuple(kind, content, name):
    kinds = get_args(kind)
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(content)
    if len(kinds) != len(content):
        raise ValueError(f"{name} must have {len(kinds)} entries, got {len(content)}.")
    return tuple(decode(part, value, name) for part, value in zip(kinds, content, strict=True))


def _words(choices):
    """What a field may hold, in words."""
    words = []
    for choice in choices:
        if get_origin(choice) is Literal:
            words += map(repr, get_args(choice))
        else:
            words.append(getattr(choice, "__name__", str(choice)))
    return ", ".join(words).replace("NoneType", "None")
