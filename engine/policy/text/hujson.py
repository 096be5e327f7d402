"""HuJSON: JSON with `//` and `/* */` comments and trailing commas, and the place of everything in it; pure.

Rule 1: all but comments and trailing commas is strict JSON (RFC 8259); what Python's own parser lets pass besides, such as
        `NaN` or half a surrogate pair, is refused.
Rule 2: one key stands once in an object: two would be read differently by different programs.
Rule 3: the text is never rewritten; a number keeps its text.
Rule 4: the cost is linear in the text and nothing recurses while reading: open arrays and objects are on a stack of ours.
Rule 5: lines end with a line feed; lines and columns are counted from 1, columns in characters.
"""

import json
import re
import unicodedata
from typing import Final

import msgspec

from engine.policy.faults import PolicyFault

MAX_BYTES: Final = 1 << 20
"""Of UTF-8: ten times the largest policy that was ever seen, and still read within a second or two."""
MAX_DEPTH: Final = 32
"""Arrays and objects in one another; a policy needs six, and what an app capability brings a few more."""
MAX_NUMBER: Final = 400
"""Characters of a number: any double has fewer, and longer ones cost the square of their length."""
EXCERPT: Final = 100
"""Characters of a line that an excerpt shows at most."""
_SHOWN: Final = 20

_BLANK: Final = re.compile(r"(?:[ \t\n\r]+|//[^\n]*|/\*(?s:.*?)\*/)*+")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORD: Final = re.compile(r"[A-Za-z0-9_.+-]+")
_PLAIN: Final = re.compile(r'[^"\\\x00-\x1f]*')
_HEX: Final = re.compile(r"[0-9a-fA-F]{4}")
_HALF: Final = re.compile("[\ud800-\udfff]")
_ESCAPES: Final = {
    '"': '"',
    "\\": "\\",
    "/": "/",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
}
_CONSTANTS: Final = {"true": True, "false": False, "null": None}


class Text(msgspec.Struct, frozen=True):
    """A string, decoded; also a key."""

    value: str
    line: int
    column: int


class Number(msgspec.Struct, frozen=True):
    """A number, as written."""

    text: str
    line: int
    column: int


class Constant(msgspec.Struct, frozen=True):
    """`true`, `false` or `null`."""

    value: bool | None
    line: int
    column: int


class Array(msgspec.Struct, frozen=True):
    """An array; its place is its bracket."""

    items: tuple["Node", ...]
    line: int
    column: int


class Object(msgspec.Struct, frozen=True):
    """An object with its members in the author's order; its place is its brace."""

    members: tuple[tuple[Text, "Node"], ...]
    line: int
    column: int


Node = Text | Number | Constant | Array | Object
Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]


def parse(text: str) -> Node:
    """Return the tree of the one value in the text.

    Raises:
        PolicyFault: `syntax`, `duplicate-key`, `too-large`, `too-deep`.
    """
    _check_size(text)
    return _Parser(text).document()


def plain(node: Node) -> Plain:
    """Return the value as Python has it; it is at most `MAX_DEPTH` deep."""
    match node:
        case Text(value=value) | Constant(value=value):
            return value
        case Number(text=text):
            return float(text) if any(mark in text for mark in ".eE") else int(text)
        case Array(items=items):
            return [plain(item) for item in items]
        case Object(members=members):
            return {key.value: plain(value) for key, value in members}


def raw(node: Node) -> msgspec.Raw:
    """Return the value as JSON without white space or comments, with the text of numbers and the order of keys kept."""
    return msgspec.Raw(_bare(node).encode())


def excerpt(text: str, line: int, column: int) -> str:
    """Return a line of the text with a caret under a column, or nothing if there is no such line.

    A long line is cut to what is near the column; what cannot be printed is shown as `·`.
    """
    lines = text.split("\n")
    if not 1 <= line <= len(lines):
        return ""
    whole = lines[line - 1].removesuffix("\r")
    at = min(max(column - 1, 0), len(whole))
    start = max(0, min(at - EXCERPT // 2, len(whole) - EXCERPT))
    window = whole[start : start + EXCERPT]
    before = ("…" if start else "") + _printable(window[: at - start])
    after = _printable(window[at - start :]) + ("…" if start + EXCERPT < len(whole) else "")
    return f"{before}{after}\n{' ' * _width(before)}^"


def _check_size(text: str) -> None:
    half = _HALF.search(text)
    if half is not None:
        raise _fault(text, half.start(), "the text is not Unicode: here is half a surrogate pair")
    size = len(text) if text.isascii() else len(text.encode())
    if size > MAX_BYTES:
        raise PolicyFault(
            "too-large",
            f"the text has {size:,} bytes; a policy may have {MAX_BYTES:,}",
            hint="put long lists of addresses into fewer prefixes",
        )


def _fault(text: str, at: int, message: str, hint: str = "") -> PolicyFault:
    line = text.count("\n", 0, at) + 1
    return PolicyFault("syntax", message, line=line, column=at - text.rfind("\n", 0, at), hint=hint)


def _bare(node: Node) -> str:
    match node:
        case Text(value=value):
            return json.dumps(value, ensure_ascii=False)
        case Constant(value=value):
            return json.dumps(value)
        case Number(text=text):
            return text
        case Array(items=items):
            return f"[{','.join(map(_bare, items))}]"
        case Object(members=members):
            pairs = (f"{json.dumps(key.value, ensure_ascii=False)}:{_bare(value)}" for key, value in members)
            return f"{{{','.join(pairs)}}}"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " if c == "\t" else "·" for c in text)


def _width(text: str) -> int:
    """Return how many cells of a terminal the text takes."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


class _Open:
    """An array or object whose end is still to come."""

    def __init__(self, line: int, column: int, *, is_object: bool) -> None:
        self.line: Final = line
        self.column: Final = column
        self.is_object: Final = is_object
        self.items: Final[list[Node]] = []
        self.keys: Final[dict[str, Text]] = {}

    def closed(self) -> Node:
        if self.is_object:
            return Object(tuple(zip(self.keys.values(), self.items, strict=True)), self.line, self.column)
        return Array(tuple(self.items), self.line, self.column)


class _Parser:
    """Reads one text. `_at` is the next character; the line that it is on began at `_begin`."""

    def __init__(self, text: str) -> None:
        self._text: Final = text
        self._at = 0
        self._line = 1
        self._begin = 0
        self._open: Final[list[_Open]] = []

    def document(self) -> Node:
        """Return the one value; see `parse`."""
        self._skip()
        if self._peek() == "":
            raise self._wrong("the text is empty", "the smallest policy is {}")
        value = self._value()
        while value is None or self._open:
            value = self._entry() if value is None else self._after(value)
        self._skip()
        if self._peek():
            raise self._wrong(f"the text goes on after its end: found {self._found()}")
        return value

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self) -> None:
        """Go past white space and comments."""
        start = self._at
        found = _BLANK.match(self._text, start)
        end = start if found is None else found.end()
        if self._text.startswith("/*", end):
            self._at = end
            raise self._wrong("this comment is not closed", "end it with */")
        breaks = self._text.count("\n", start, end)
        if breaks:
            self._line += breaks
            self._begin = self._text.rfind("\n", start, end) + 1
        self._at = end

    def _value(self) -> Node | None:
        """Read a value, or open an array or object and return None."""
        start, line, column = self._at, self._line, self._column()
        first = self._peek()
        if first in ("[", "{"):
            if len(self._open) >= MAX_DEPTH:
                raise self._wrong(f"arrays and objects are more than {MAX_DEPTH} deep", kind="too-deep")
            self._open.append(_Open(line, column, is_object=first == "{"))
            self._at += 1
            return None
        if first == '"':
            return self._string()
        found = _WORD.match(self._text, start)
        word = "" if found is None else found.group()
        if word in _CONSTANTS:
            self._at += len(word)
            return Constant(_CONSTANTS[word], line, column)
        if not _NUMBER.fullmatch(word):
            raise self._no_value(word)
        if len(word) > MAX_NUMBER:
            raise self._wrong(f"a number has more than {MAX_NUMBER} characters", kind="too-large")
        self._at += len(word)
        return Number(word, line, column)

    def _entry(self) -> Node | None:
        """Read what follows a bracket, brace or comma: the end of the innermost, or its next entry."""
        inner = self._open[-1]
        self._skip()
        if self._peek() == ("}" if inner.is_object else "]"):
            return self._close()
        if inner.is_object:
            self._key(inner)
        return self._value()

    def _after(self, value: Node) -> Node | None:
        """Put a value into the innermost; read what follows it: a comma (None) or the end."""
        inner = self._open[-1]
        inner.items.append(value)
        self._skip()
        end = "}" if inner.is_object else "]"
        found = self._peek()
        if found == ",":
            self._at += 1
            return None
        if found == end:
            return self._close()
        what = "object" if inner.is_object else "array"
        raise self._wrong(
            f"expected a comma or {end!r}, found {self._found()}",
            f"the {what} began on line {inner.line}, column {inner.column}",
        )

    def _close(self) -> Node:
        self._at += 1
        return self._open.pop().closed()

    def _key(self, inner: _Open) -> None:
        if self._peek() != '"':
            raise self._wrong(f"expected a key or '}}', found {self._found()}", "keys stand in double quotes")
        line, begin, at = self._line, self._begin, self._at
        key = self._string()
        first = inner.keys.setdefault(key.value, key)
        if first is not key:
            self._line, self._begin, self._at = line, begin, at
            raise self._wrong(
                f"the key {shown(key.value)} stands twice in one object: on line {first.line} and on line {line}",
                "remove one, or put both values together",
                kind="duplicate-key",
            )
        self._skip()
        if self._peek() != ":":
            raise self._wrong(f"expected a colon after the key {shown(key.value)}, found {self._found()}")
        self._at += 1
        self._skip()

    def _string(self) -> Text:
        start, line, column = self._at, self._line, self._column()
        self._at += 1
        parts: list[str] = []
        while True:
            end = _PLAIN.match(self._text, self._at).end()  # type: ignore[union-attr] # it matches nothing at least
            parts.append(self._text[self._at : end])
            self._at = end
            stop = self._peek()
            if stop == '"':
                self._at += 1
                return Text("".join(parts), line, column)
            if stop == "\\":
                parts.append(self._escape())
                continue
            if stop in ("", "\n"):
                self._at = start
                raise self._wrong("this string is not closed on its line", 'end it with ", or write \\n')
            raise self._wrong(
                f"a string has the control character U+{ord(stop):04X}", f"write \\u{ord(stop):04x}"
            )

    def _escape(self) -> str:
        letter = self._text[self._at + 1 : self._at + 2]
        if letter in _ESCAPES:
            self._at += 2
            return _ESCAPES[letter]
        if letter != "u":
            raise self._wrong("this is no escape of JSON", "write \\\\ for a backslash")
        unit = self._unit()
        if not 0xD800 <= unit <= 0xDFFF:  # noqa: PLR2004 (the surrogates of UTF-16)
            self._at += 6
            return chr(unit)
        self._at += 6
        low = self._unit() if unit < 0xDC00 and self._text.startswith("\\u", self._at) else 0  # noqa: PLR2004
        if not 0xDC00 <= low <= 0xDFFF:  # noqa: PLR2004
            self._at -= 6
            raise self._wrong("this is half a surrogate pair", "write the character itself")
        self._at += 6
        return chr(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))

    def _unit(self) -> int:
        found = _HEX.match(self._text, self._at + 2)
        if found is None:
            raise self._wrong("\\u needs four hexadecimal digits")
        return int(found.group(), 16)

    def _column(self) -> int:
        return self._at - self._begin + 1

    def _found(self) -> str:
        if self._at >= len(self._text):
            return "the end of the text"
        word = _WORD.match(self._text, self._at)
        return shown(word.group() if word else self._peek())

    def _no_value(self, word: str) -> PolicyFault:
        hint = ""
        if self._peek() == "'":
            hint = "strings stand in double quotes"
        elif word.lower() in _CONSTANTS:
            hint = f"write {word.lower()}"
        elif word and not word[0].isdigit():
            hint = "strings stand in double quotes"
        elif self._peek() == ",":
            hint = "one comma too many"
        elif self._peek() == "\ufeff":
            hint = "save the text as UTF-8 without a byte order mark"
        return self._wrong(f"expected a value, found {self._found()}", hint)

    def _wrong(self, message: str, hint: str = "", *, kind: str = "syntax") -> PolicyFault:
        return PolicyFault(kind, message, line=self._line, column=self._column(), hint=hint)


def shown(text: str) -> str:
    """Return a value as a message quotes it: on one line, printable, and not too long."""
    cut = text if len(text) <= 4 * _SHOWN else text[: 4 * _SHOWN] + "…"
    return json.dumps(_printable(cut.replace("\t", " ")), ensure_ascii=False)
