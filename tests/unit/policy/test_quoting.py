"""Rules as they are quoted to people."""

from engine.policy.text.quoting import LONGEST, quoted

TEXT = """{
  // the first
  "ACLs": [
    {"action": "accept", "src": ["*"], "dst": ["*:22"]}, // trailing
    {"action": "accept",
     "src": ["a@"], "dst": ["b@:*"],},
  ],
  "grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}],
}"""


def test_a_rule_is_quoted_by_its_place_without_comments_on_one_line() -> None:
    assert quoted(TEXT, ["acls[1]", "grants[0]"]) == {
        "acls[1]": '{"action":"accept","src":["a@"],"dst":["b@:*"]}',
        "grants[0]": '{"src":["*"],"dst":["*"],"ip":["*"]}',
    }


def test_what_is_not_there_is_left_out() -> None:
    assert quoted(TEXT, ["acls[2]", "ssh[0]", "acls[x]", ""]) == {}
    assert quoted("{", ["acls[0]"]) == {}
    assert quoted("[]", ["acls[0]"]) == {}


def test_a_long_rule_is_cut() -> None:
    text = '{"acls": [{"src": ["' + "x" * 400 + '"]}]}'
    said = quoted(text, ["acls[0]"])["acls[0]"]
    assert (len(said), said[-1]) == (LONGEST, "…")
