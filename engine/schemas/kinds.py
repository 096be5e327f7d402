"""JSON Schemas (2020-12) of events, commands and queries.

Rule 1: nothing is written down twice: types, defaults and bounds are the struct's, words are its docstrings'.
Rule 2: a schema says what is stored or sent; an event's `type` is its tag.
"""

import ast
import functools
import inspect
import textwrap
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from engine.contracts.queries import QUERIES, Query
from engine.domain.commands import COMMANDS, Command
from engine.domain.events import EVENTS, Event

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
ANY: Final = "any JSON"

Schema = Mapping[str, Any]


def tag_of_kind(kind: type[Event]) -> str:
    """Return the name in the store of a type of event, as `PeerRegistered.v1`."""
    return str(kind.__struct_config__.tag)


def events() -> dict[str, type[Event]]:
    """Return every type of event by its tag, in the order of the union."""
    return {tag_of_kind(kind): kind for kind in EVENTS}


def commands() -> dict[str, type[Command]]:
    """Return every command that an operator may send, as `peer.register`."""
    return {".".join(names): kind for names, kind in COMMANDS.items()}


def queries() -> tuple[str, ...]:
    """Return every query, as `netmap.get`; all have the fields of one struct."""
    return tuple(".".join(names) for names in QUERIES)


def schema_of(kind: type[msgspec.Struct]) -> Schema:
    """Return the JSON Schema of a struct, on its own: what it refers to is in its `$defs`."""
    components = components_of(kind)
    name = kind.__name__
    own = components.pop(name)
    defs = {"$defs": dict(components)} if components else {}
    return {"$schema": DIALECT, **own, **defs}


def query_schema() -> Schema:
    """Return the JSON Schema of the body of any query."""
    return schema_of(Query)


def components_of(kind: type[msgspec.Struct], template: str = "#/$defs/{name}") -> dict[str, Any]:
    """Return the JSON Schemas of a struct and all that it refers to, by name, with the words of their fields."""
    _, components = msgspec.json.schema_components([kind], schema_hook=_any_json, ref_template=template)
    found = {}
    for struct in _structs(kind):
        component = dict(components[struct.__name__])
        words = words_of(struct)
        component["description"] = summary_of(struct)
        component["properties"] = {
            name: _described(field, words.get(name, "")) for name, field in component["properties"].items()
        }
        found[struct.__name__] = component
    return found


def summary_of(kind: type) -> str:
    """Return a type's docstring as one paragraph."""
    return " ".join(inspect.cleandoc(kind.__doc__ or "").split())


@functools.cache
def words_of(kind: type[msgspec.Struct]) -> Mapping[str, str]:
    """Return what the source says of each field, by its name in JSON; a field without a docstring is not there."""
    names = dict(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))
    [body] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    words = {}
    if isinstance(body, ast.ClassDef):
        for field, following in zip(body.body, body.body[1:], strict=False):
            match field, following:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    words[names[name]] = " ".join(text.split())
                case _:
                    pass
    return words


def _structs(kind: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    """Return a struct and all structs that its fields refer to, each once."""
    found: list[type[msgspec.Struct]] = []

    def visit(info: msgspec.inspect.Type) -> None:
        match info:
            case msgspec.inspect.Metadata(type=inner):
                visit(inner)
            case msgspec.inspect.StructType(cls=struct, fields=fields) if struct not in found:
                found.append(struct)
                for field in fields:
                    visit(field.type)
            case msgspec.inspect.VarTupleType(item_type=item) | msgspec.inspect.ListType(item_type=item):
                visit(item)
            case msgspec.inspect.TupleType(item_types=types) | msgspec.inspect.UnionType(types=types):
                for each in types:
                    visit(each)
            case msgspec.inspect.DictType(key_type=key, value_type=value):
                visit(key)
                visit(value)
            case _:
                pass

    visit(msgspec.inspect.type_info(kind))
    return found


def _described(field: Any, words: str) -> Any:
    if not field:
        return {"description": words or ANY}
    return {**field, "description": words} if words else field


def _any_json(kind: type) -> dict[str, Any]:
    if kind is object:
        return {"description": ANY}
    raise NotImplementedError
