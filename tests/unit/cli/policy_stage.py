"""A stage for `netmap policy`: a tailnet with a policy, and a person with something on stdin."""

from typing import Any, Final

from click.testing import CliRunner, Result

from frontends.cli.main import main
from tests.unit.cli.stage import NOW, Stage, accepted, refused

TEXT: Final = '{\n  // everybody\n  "acls": [],\n}\n'
HELD: Final = {
    "position": 7,
    "at": NOW - 60_000,
    "actor": "alice",
    "reason": "less is more",
    "digest": "a1" * 32,
    "size": len(TEXT),
    "rules": 0,
    "text": TEXT,
}
FAULT: Final = {
    "kind": "unknown-tag",
    "message": 'there is no tag "tag:wbe"',
    "line": 3,
    "column": 11,
    "excerpt": '  "acls": [],\n          ^',
    "hint": "define it in tagOwners",
}
REFUSED: Final = refused(422, "policy.unknown-tag", field="text", hint="define it in tagOwners")


def party(kind: str, name: str, *devices: str, more: int = 0) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": name,
        "devices": [{"id": n, "name": device} for n, device in enumerate(devices, 1)],
        "more": more,
    }


def tailnet() -> Stage:
    """A tailnet with a policy; the answers of a good text."""
    at = Stage()
    at.answers("policy.get", {"position": 9, "policy": HELD})
    at.answers(
        "policy.preview",
        {"position": 9, "ok": True, "faults": [], "gain": 3, "lose": 1, "rows": [], "more": 0},
    )
    at.answers("policy.set", accepted(result={"digest": "b2" * 32, "rules": 1, "approvals": 0}))
    return at


def run(stage: Stage, *words: str, said: str = "", **environment: str) -> Result:
    """Run with something on stdin."""
    env = {"NO_COLOR": "1", **environment}
    return CliRunner().invoke(
        main, ["policy", *words], obj=stage.world, env=env, prog_name="netmap", input=said
    )


def sent(stage: Stage, name: str) -> list[dict[str, Any]]:
    return [body for subject, body, _ in stage.requests if subject.endswith(name)]


def saying(reply: Any, message: str) -> dict[str, Any]:
    error = {"code": reply.error.code, "status": reply.error.status, "message": message}
    return {"error": {**error, "field": reply.error.field, "hint": reply.error.hint}}
