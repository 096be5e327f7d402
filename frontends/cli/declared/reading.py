"""A declarative file's text, strictly: YAML (JSON is YAML too), with the place of everything in it.

Rule 1: an unknown field, a field given twice, and a value of another kind are faults, with file, line and column.
Rule 2: what is named like a secret, or says that it is a private key, is refused; it is never repeated.
Rule 3: a scalar is what its kind says, whatever YAML would make of it: the country code NO is a text.
Rule 4: no anchors, aliases or tags; at most `MAX_OCTETS` in all.
"""

import difflib
import math
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import yaml

from frontends.cli.declared.fields import FILE, INTEGER, NUMBER, TEXTS, TRUTH, Field, Shape

MAX_OCTETS: Final = 16 * 1024 * 1024
"""Of all files together: some 100,000 connections."""
_PLAIN: Final = "tag:yaml.org,2002:"
_NULL: Final = _PLAIN + "null"
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
"""What may be repeated of a field that is not known."""
_SECRET: Final = re.compile(r"priv|preshared|psk|secret|token|passw|account", re.IGNORECASE)
_PRIVATE: Final = re.compile(r"privkey:|privatekey\b|presharedkey\b|nlpriv:", re.IGNORECASE)
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_SHOWN: Final = 80


class Place(NamedTuple):
    """Where something stands; lines and columns begin at 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        """Return `file:line:column`."""
        return f"{self.file}:{self.line}:{self.column}"


class Fault(Exception):  # noqa: N818 (it is what is wrong with the file)
    """What is wrong with a file: a stable code, where, the rule, and the next step."""

    def __init__(self, code: str, at: Place, message: str, *, field: str = "", hint: str = "") -> None:
        super().__init__(f"{at}: {message}")
        self.code: Final = code
        self.at: Final = at
        self.message: Final = message
        self.field: Final = field
        self.hint: Final = hint


class Read(NamedTuple):
    """A value, and where it stands: a scalar, a tuple of texts, a list of objects, or an object."""

    value: "str | bool | float | int | tuple[str, ...] | list[Read] | dict[str, Read]"
    at: Place


def read(file: str, text: str) -> dict[str, Read]:
    """Return the file's fields.

    Raises:
        Fault: `file.syntax`, `file.type`, `file.unknown`, `file.twice`, `file.missing`, `file.secret`, `file.alias`.
    """
    try:
        node = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = Place(file, 1, 1) if mark is None else Place(file, mark.line + 1, mark.column + 1)
        hint = "an address that begins with a colon needs quotes inside of brackets: ['::/0']"
        raise Fault("file.syntax", at, f"this is not YAML: {error.problem}", hint=hint) from None
    except (yaml.YAMLError, RecursionError):
        raise Fault("file.syntax", Place(file, 1, 1), "this is not YAML that can be read") from None
    if node is None:
        raise Fault("file.missing", Place(file, 1, 1), "the file is empty", hint=f"it has {', '.join(FILE)}")
    return _Reader(file).object(node, FILE, "the file")


class _Reader:
    """Reads one file."""

    def __init__(self, file: str) -> None:
        self._file: Final = file
        self._met: Final[set[int]] = set()

    def object(self, node: yaml.Node, shape: Shape, what: str) -> dict[str, Read]:
        """Return an object's fields; those that are null are not there."""
        self._once(node)
        if not isinstance(node, yaml.MappingNode):
            raise self._fault(
                "file.type", node, f"{what} must be an object with the fields {', '.join(shape)}"
            )
        found: dict[str, Read] = {}
        met: set[str] = set()
        for key, value in node.value:
            name = self._name(key, shape, what)
            if name in met:
                raise self._fault("file.twice", key, f"{name} is given twice", name)
            met.add(name)
            if value.tag != _NULL:
                found[name] = Read(self._value(value, shape[name], name), self._place(value))
        missing = [name for name, field in shape.items() if field.needed and name not in found]
        if missing:
            raise self._fault("file.missing", node, f"{what} lacks {', '.join(missing)}", missing[0])
        return found

    def _name(self, key: yaml.Node, shape: Shape, what: str) -> str:
        text = key.value if isinstance(key, yaml.ScalarNode) else ""
        if text in shape:
            return text
        if _SECRET.search(text) or not _NAME.fullmatch(text):
            is_secret = bool(_SECRET.search(text))
            raise self._fault(
                "file.secret" if is_secret else "file.unknown",
                key,
                f"{what} has a field that is named like a secret: none is needed here"
                if is_secret
                else f"{what} has a field that has no name",
                hint="take it out; if it was a private key, treat it as known to others" if is_secret else "",
            )
        near = difflib.get_close_matches(text, shape, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(shape)}"
        raise self._fault("file.unknown", key, f"{what} has no field {text!r}", text, hint)

    def _value(
        self, node: yaml.Node, field: Field, name: str
    ) -> "str | bool | float | int | tuple[str, ...] | list[Read] | dict[str, Read]":
        if isinstance(field.kind, str):
            return self._texts(node, name) if field.kind == TEXTS else self._scalar(node, field.kind, name)
        if not field.many:
            return self.object(node, field.kind, name)
        self._once(node)
        if not isinstance(node, yaml.SequenceNode):
            raise self._fault("file.type", node, f"{name} must be a list of objects", name)
        return [Read(self.object(one, field.kind, _one(name)), self._place(one)) for one in node.value]

    def _texts(self, node: yaml.Node, name: str) -> tuple[str, ...]:
        if not isinstance(node, yaml.SequenceNode):
            text = self._text(node, name)
            return tuple(part.strip() for part in text.split(",") if part.strip())
        self._once(node)
        return tuple(self._text(one, name) for one in node.value)

    def _scalar(self, node: yaml.Node, kind: str, name: str) -> str | bool | float | int:
        text = self._text(node, name)
        if kind == TRUTH:
            if text.lower() not in {"true", "false"}:
                raise self._fault("file.type", node, f"{name} must be true or false", name)
            return text.lower() == "true"
        if kind == INTEGER:
            if not _INTEGER.fullmatch(text):
                raise self._fault("file.type", node, f"{name} must be a whole number", name)
            return int(text)
        return (
            _number(text, self._fault("file.type", node, f"{name} must be a number", name))
            if (kind == NUMBER)
            else text
        )

    def _text(self, node: yaml.Node, name: str) -> str:
        if not isinstance(node, yaml.ScalarNode) or not node.tag.startswith(_PLAIN):
            raise self._fault("file.type", node, f"{name} must be a text, or a list of texts", name)
        text = str(node.value).strip()
        if _PRIVATE.match(text):
            hint = "treat that key as known to others: make a new one, and give its public key (wg pubkey)"
            raise self._fault("file.secret", node, f"{name} is a private or shared secret key", name, hint)
        return text

    def _once(self, node: yaml.Node) -> None:
        if id(node) in self._met:
            raise self._fault(
                "file.alias", node, "this is used in two places: anchors and aliases are not taken"
            )
        self._met.add(id(node))

    def _place(self, node: yaml.Node) -> Place:
        return Place(self._file, node.start_mark.line + 1, node.start_mark.column + 1)

    def _fault(self, code: str, node: yaml.Node, message: str, field: str = "", hint: str = "") -> Fault:
        return Fault(code, self._place(node), message, field=field, hint=hint)


def _one(name: str) -> str:
    return f"a {name.removesuffix('s')}"


def _number(text: str, fault: Fault) -> float:
    try:
        number = float(text)
    except ValueError:
        raise fault from None
    if not math.isfinite(number):
        raise fault
    return number


def texts(fields: Mapping[str, Read], name: str) -> tuple[str, ...] | None:
    """Return a list of texts, or None where there is none."""
    found = fields.get(name)
    return found.value if found is not None and isinstance(found.value, tuple) else None


def text(fields: Mapping[str, Read], name: str) -> str:
    """Return a text, or an empty one where there is none."""
    found = fields.get(name)
    return found.value if found is not None and isinstance(found.value, str) else ""


def truth(fields: Mapping[str, Read], name: str) -> bool | None:
    """Return yes or no, or None where nothing is said."""
    found = fields.get(name)
    return found.value if found is not None and isinstance(found.value, bool) else None


def inner(fields: Mapping[str, Read], name: str) -> dict[str, Read]:
    """Return an object's fields, none where there is none."""
    found = fields.get(name)
    return found.value if found is not None and isinstance(found.value, dict) else {}


def objects(fields: Mapping[str, Read], name: str) -> list[tuple[dict[str, Read], Place]]:
    """Return the objects of a list, and where they stand."""
    found = fields.get(name)
    if found is None or not isinstance(found.value, list):
        return []
    return [(one.value, one.at) for one in found.value if isinstance(one.value, dict)]
