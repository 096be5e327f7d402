"""Who may be erased, what goes with it, and what is said of what remains."""

import msgspec
import pytest

from engine.domain.commands import CreateUser, DeleteUser, RenameNode, SetPolicy
from engine.domain.decide import decide
from engine.domain.decision import Decision, Given
from engine.domain.errors import Conflict
from engine.domain.events import EVENTS, CommandHandled, NodeRenamed, UserErased
from engine.domain.personal import PERSONAL, said_in, subject_of, tombstone
from engine.domain.personalcommands import EraseUser
from engine.domain.values import Millis, NodeId, UserId
from tests.kit.scenario import Scene

ANNA = UserId(1)


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    made.user("anna")
    made.user("bert")
    return made


def given(plain: int) -> Given:
    return Given(now=Millis(1), secret="0" * 32, plain={ANNA: plain})


def erased_with(scene: Scene, plain: int, *, force: bool) -> Decision:
    return decide(scene.tailnet, EraseUser(user="anna", force=force), given(plain))


def test_a_user_is_deleted_and_erased(scene: Scene) -> None:
    scene.auth_key("anna")
    assert scene.happens(EraseUser(user="anna")) == ["AuthKeyExpired", "UserDeleted", "UserErased"]
    assert scene.tailnet.erased == {ANNA}
    assert scene.refused(EraseUser(user="anna")).code == "user.not_found"


def test_a_user_to_whom_something_belongs_stays_unless_all_goes(scene: Scene) -> None:
    scene.node("laptop", user="anna")
    assert scene.refused(EraseUser(user="anna")).code == "user.in_use"
    assert scene.happens(EraseUser(user="anna", cascade=True)) == ["NodeDeleted", "UserDeleted", "UserErased"]


def test_a_user_that_was_deleted_before_is_erased_by_its_id_once(scene: Scene) -> None:
    scene.user("carl")
    scene.happens(EraseUser(user="carl"))
    scene.happens(DeleteUser(user="anna"))
    assert scene.happens(EraseUser(user=1)) == ["UserErased"]
    assert scene.happens(EraseUser(user="1")) == []
    assert scene.refused(EraseUser(user=4)).code == "user.not_found"
    assert scene.refused(EraseUser(user=0)).code == "user.not_found"


def test_what_was_recorded_in_plain_text_is_said_and_needs_force(scene: Scene) -> None:
    with pytest.raises(Conflict) as caught:
        erased_with(scene, 3, force=False)
    assert (caught.value.code, caught.value.status) == ("user.plain", 409)
    assert "3 records" in caught.value.message
    decision = erased_with(scene, 3, force=True)
    assert decision.events[-1] == UserErased(user=ANNA)
    assert decision.result["plain"] == 3
    assert decision.warnings[0].startswith("user.plain: 3 records")
    assert erased_with(scene, 0, force=False).warnings == ()


def test_policies_that_name_the_user_are_listed_and_others_are_not(scene: Scene) -> None:
    rule = '{"acls": [{"action": "accept", "src": ["WHO"], "dst": ["*:*"]}]}'
    texts = [rule.replace("WHO", who) for who in ("Anna@", "bert@", "anna@")]
    for text in texts:
        scene.happens(SetPolicy(text=text))
    digests = [digest[:12] for digest in scene.tailnet.policies]
    decision = scene.when(EraseUser(user="anna"))
    assert decision.result["policies"] == [digests[2], digests[0]]
    assert "2 policy texts" in decision.warnings[-1]


def test_neither_the_answer_nor_a_warning_names_the_user(scene: Scene) -> None:
    scene.node("annas-laptop", user="anna")
    scene.happens(SetPolicy(text='{"acls": [{"action": "accept", "src": ["anna@"], "dst": ["*:*"]}]}'))
    decision = scene.when(EraseUser(user="anna", cascade=True))
    assert b"anna" not in msgspec.json.encode([decision.result, decision.warnings])


def test_personal_fields_are_fields_of_events() -> None:
    assert set(PERSONAL) <= set(EVENTS)
    for event, names in PERSONAL.items():
        assert set(names) <= set(event.__struct_fields__)


def test_a_new_name_of_a_node_speaks_of_its_user(scene: Scene) -> None:
    node = NodeId(scene.node("laptop", user="bert"))
    assert subject_of(NodeRenamed(node=node, name="x"), scene.tailnet) == 2
    assert subject_of(NodeRenamed(node=NodeId(99), name="x"), scene.tailnet) is None
    assert subject_of(UserErased(user=ANNA), scene.tailnet) is None


def test_an_answer_speaks_of_whom_it_names_and_of_nobody_else(scene: Scene) -> None:
    node = scene.node("laptop", user="bert")
    assert said_in(b'{"result":{"id":1,"name":"anna"}}', (), {"id": 1}, scene.tailnet) == (1,)
    assert said_in(b'{"result":{"id":1}}', (), {"id": 1}, scene.tailnet) == ()
    assert said_in(b'"laptop"', (), {"node": node}, scene.tailnet) == (2,)
    renamed = NodeRenamed(node=NodeId(node), name="tower")
    assert said_in(b'"tower, of anna"', (renamed, UserErased(user=ANNA)), {}, scene.tailnet) == (1, 2)


def test_nobody_can_be_given_the_name_of_a_tombstone(scene: Scene) -> None:
    scene.node("laptop", user="anna")
    assert scene.refused(CreateUser(name="erased:7")).code == "user.name"
    assert scene.refused(RenameNode(node="laptop", name="erased_1")).code == "name.syntax"


def test_a_tombstone_of_an_answer_is_an_answer() -> None:
    receipt = CommandHandled(name="user.create", digest="d", result=msgspec.Raw(b'{"result":{"id":1}}'))
    gone = tombstone(receipt)
    assert isinstance(gone, CommandHandled)
    assert msgspec.json.decode(gone.result) == {"result": {"erased": True}}
