"""HuJSON: what is accepted and what is not, where everything is, and how faults are shown."""

import json
from typing import Any

import pytest

from engine.policy.faults import PolicyFault
from engine.policy.text.hujson import (
    EXCERPT,
    MAX_BYTES,
    MAX_DEPTH,
    MAX_NUMBER,
    Array,
    Number,
    Object,
    Text,
    excerpt,
    parse,
    plain,
    raw,
    shown,
)


def value(text: str) -> object:
    return plain(parse(text))


def fault(text: str) -> PolicyFault:
    with pytest.raises(PolicyFault) as caught:
        parse(text)
    return caught.value


def pointed_at(text: str) -> str:
    """Return what the caret of the fault's excerpt points at, to the end of its line."""
    found = fault(text)
    line, caret = excerpt(text, found.line, found.column).split("\n")
    return line[caret.index("^") :]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"a": [1, 2.5, -0, 1e3, true, false, null, "x"]}', {"a": [1, 2.5, 0, 1e3, True, False, None, "x"]}),
        ("[1,2,]", [1, 2]),
        ('{"a":1,}', {"a": 1}),
        ("// first\n[1 /* one */, // and\n /* ** / */ 2,\n]// last", [1, 2]),
        ("[]//", []),
        ("/**/{/**/}/**/", {}),
        ('["// no", "/* comment */"]', ["// no", "/* comment */"]),
        (' \t\r\n"x"', "x"),
        ('"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00"', '"\\/\b\f\n\r\té😀'),
        ('"\x7f\u2028é😀"', "\x7f\u2028é😀"),
        ('{"": {"": []}}', {"": {"": []}}),
    ],
)
def test_a_text_is_its_value(text: str, wanted: object) -> None:
    assert value(text) == wanted


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("", ""),
        (" // only a comment", ""),
        ("[,]", ",]"),
        ("{,}", ",}"),
        ("[1,,2]", ",2]"),
        ("[1 2]", "2]"),
        ('{"a" 1}', "1}"),
        ('{"a":}', "}"),
        ('{"a":1', ""),
        ("{a: 1}", "a: 1}"),
        ("{'a': 1}", "'a': 1}"),
        ("[1}", "}"),
        ("] ", "] "),
        ("[1] 2", "2"),
        ("[1],", ","),
        ("01", "01"),
        ("+1", "+1"),
        (".5", ".5"),
        ("1.", "1."),
        ("1e", "1e"),
        ("-", "-"),
        ("0x10", "0x10"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("-Infinity", "-Infinity"),
        ("True", "True"),
        ("nulll", "nulll"),
        ("[1] /* open", "/* open"),
        ("[1] /", "/"),
        ("[1] # no", "# no"),
        ("١", "١"),
        ("\ufeff{}", "·{}"),
        ("\u00a0{}", "·{}"),
        ("\x0b{}", "·{}"),
        ("\x0c{}", "·{}"),
        ("\x85{}", "·{}"),
        ("\u2028{}", "·{}"),
        ("//\u2028{", ""),
        ("//\r{", ""),
        ('["open\n"]', '"open'),
        ('["open', '"open'),
        ('"a\tb"', ' b"'),
        ('"a\x00b"', '·b"'),
        ('"\\x41"', '\\x41"'),
        ('"\\u12g4"', '\\u12g4"'),
        ('"\\u 123"', '\\u 123"'),
        ('"\\', "\\"),
        ('"\\ud83d"', '\\ud83d"'),
        ('"\\ud83dx"', '\\ud83dx"'),
        ('"\\ud83d\\u0041"', '\\ud83d\\u0041"'),
        ('"\\ude00"', '\\ude00"'),
    ],
)
def test_what_is_no_hujson_is_refused_at_its_place(text: str, at: str) -> None:
    assert fault(text).kind == "syntax"
    assert pointed_at(text) == at


def test_half_a_surrogate_in_the_text_itself_is_refused() -> None:
    found = fault('{"a":\n "\ud800"}')
    assert (found.kind, found.line, found.column) == ("syntax", 2, 3)


def test_everything_has_its_place() -> None:
    tree = parse('{ // say\r\n\n  "a": [1,\n\t"é😀", /* x\n\n */ {}],\n"b" : null}')
    assert isinstance(tree, Object)
    (a, items), (b, nothing) = tree.members
    assert isinstance(items, Array)
    places = [(node.line, node.column) for node in (tree, a, items, *items.items, b, nothing)]
    assert places == [(1, 1), (3, 3), (3, 8), (3, 9), (4, 2), (6, 5), (7, 1), (7, 7)]


def test_a_key_twice_is_refused_with_both_lines() -> None:
    found = fault('{\n "a": 1,\n "b": {"a": 2},\n "\\u0061": 3}')
    assert (found.kind, found.line, found.column) == ("duplicate-key", 4, 2)
    assert '"a"' in found.message
    assert "line 2" in found.message
    assert "line 4" in found.message


def test_the_same_key_in_different_objects_is_no_duplicate() -> None:
    assert value('[{"a": 1}, {"a": {"a": 2}}]') == [{"a": 1}, {"a": {"a": 2}}]


def test_depth_is_limited() -> None:
    assert value("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    for opening in ("[", '{"a":'):
        found = fault(opening * (MAX_DEPTH + 1))
        assert (found.kind, found.line) == ("too-deep", 1)
        assert found.column == MAX_DEPTH * len(opening) + 1
    assert fault("[" * 1_000_000).kind == "too-deep"


def test_size_is_limited_in_bytes_of_utf_8() -> None:
    assert value('"' + "é" * (MAX_BYTES // 2 - 1) + '"')
    assert fault('"' + "é" * (MAX_BYTES // 2) + '"').kind == "too-large"
    assert fault(" " * (MAX_BYTES + 1)).kind == "too-large"


def test_a_number_is_limited_so_that_it_can_be_made_one() -> None:
    assert value("9" * MAX_NUMBER) == int("9" * MAX_NUMBER)
    assert fault("9" * (MAX_NUMBER + 1)).kind == "too-large"


def test_raw_json_keeps_the_text_of_numbers_and_the_order_of_keys() -> None:
    tree = parse(
        '{"b": [1.50, 1E+2, -0, 12345678901234567890], // x\n "a": {"é\\u0000\\n": [true, null,],},}'
    )
    found = bytes(raw(tree)).decode()
    assert found == '{"b":[1.50,1E+2,-0,12345678901234567890],"a":{"é\\u0000\\n":[true,null]}}'
    assert json.loads(found) == plain(tree)


def test_a_number_keeps_its_text_and_a_string_is_decoded() -> None:
    assert parse("1.50") == Number("1.50", 1, 1)
    assert parse(' "\\u0041"') == Text("A", 1, 2)


@pytest.mark.parametrize(
    ("text", "line", "column", "wanted"),
    [
        ("ab\ncd", 2, 2, "cd\n ^"),
        ("ab\r\ncd", 1, 1, "ab\n^"),
        ("ab", 1, 9, "ab\n  ^"),
        ("ab", 2, 1, ""),
        ("ab", 0, 0, ""),
        ("a\tb\x1b[1m\u202ec", 1, 3, "a b·[1m·c\n  ^"),
        ("漢字x", 1, 3, "漢字x\n    ^"),
        ("e\u0301x", 1, 3, "e\u0301x\n ^"),
    ],
)
def test_an_excerpt_has_its_caret_under_the_column(text: str, line: int, column: int, wanted: str) -> None:
    assert excerpt(text, line, column) == wanted


@pytest.mark.parametrize("column", [1, 40, 500, 999, 1000])
def test_an_excerpt_of_a_long_line_is_cut_around_the_column(column: int) -> None:
    text = "".join(chr(ord("a") + i % 26) for i in range(1000))
    line, caret = excerpt(text, 1, column).split("\n")
    assert line[caret.index("^")] == text[column - 1]
    assert len(line) <= EXCERPT + 2
    assert line.strip("…") in text
    assert (line[0] == "…", line[-1] == "…") == (column > 50, column < 950)


def test_what_is_shown_is_on_one_line_printable_and_short() -> None:
    assert shown('a"\\b\n\x1b\t') == '"a\\"\\\\b·· "'
    assert len(shown("x" * 10_000)) < 100


@pytest.mark.parametrize(
    "text",
    [
        "[" + '{"src":["tag:abc",1.5,null]},' * 30_000 + "]",
        "/* x */" * 140_000 + "1",
        "//\n" * 300_000 + "1",
        '"' + "\\n" * 500_000 + '"',
        "[" + "1," * 500_000 + "]",
        "{" + ",".join(f'"{number}":0' for number in range(90_000)) + "}",
        "[" * 31 + "{" + ",".join(f'"{number}":0' for number in range(90_000)) + "}" + "]" * 31,
    ],
    ids=["rules", "comments", "lines", "escapes", "numbers", "keys", "deep"],
)
def test_the_largest_texts_are_read(text: str) -> None:
    """No time is taken here; what were not linear would not end."""
    assert len(text) <= MAX_BYTES
    found: Any = parse(text)
    assert found.line
