"""The HTTP API as an operator starts it: tools with a key, a key's end, a router that polls.

The second part is one story, told in order: a wireguard-go that knows nobody keeps up with the tailnet by the script that
the product prints, and a real client goes out through it.
"""

import json
import shlex
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from email.message import Message
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.kit.cluster import Cluster
from tests.kit.lab.clients import LATEST, TailscaleClient
from tests.kit.lab.net import Lab
from tests.kit.lab.web import WebEcho
from tests.kit.lab.wireguard import WireGuardGo, key_base64
from tests.kit.procs import wait_until
from tests.kit.serving import Serving

pytestmark = pytest.mark.real
KEY: Final = "xJsw8SNGxKwqPHgULHWY7Z2tPNBJPxKLbJ9FJxDfXr8="
PEER: Final = {
    "name": "mv-se-got-wg-001",
    "userId": "1",
    "publicKey": KEY,
    "allowedIps": ["0.0.0.0/0", "::/0"],
    "endpoints": ["198.51.100.21:51820"],
    "extraConfig": json.dumps({"suggestExitNode": True}),
}


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def _lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


class Tool:
    """A program with a key."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key

    def call(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        asked = urllib.request.Request(self.url + path, data, given, method=method)
        asked.add_header("Authorization", f"Bearer {self.key}")
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                return Answer(answer.status, _lower(answer.headers), answer.read().decode())
        except urllib.error.HTTPError as error:
            return Answer(error.code, _lower(error.headers), error.read().decode())


class Place:
    """A server, and an operator's terminal beside it."""

    def __init__(self, folder: Path) -> None:
        self.serving = Serving(folder)
        said = self.serving.start()
        words = next(line for line in said.splitlines() if line.startswith("  HTTP API")).split()
        self.url = words[2]
        self.types("netmap user create alice")

    def types(self, line: str) -> str:
        done = self.serving.types(line)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def tool(self, *options: str) -> Tool:
        return Tool(self.url, self.types(shlex.join(["netmap", "apikey", "create", *options])))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.serving.close()


def test_a_tool_registers_lists_and_deletes_and_the_log_says_who(place: Place) -> None:
    tool = place.tool()
    assert tool.call("GET", "/health").json == {"status": "pass"}
    made = tool.call("POST", "/api/v1/wireguard-only-peer/register", PEER)
    assert made.status == 200, made.body
    assert made.json["wireguardOnlyPeer"]["id"] == "100000001"
    (peer,) = tool.call("GET", "/api/v1/node").json["wireguardOnlyPeers"]
    assert peer["name"] == PEER["name"]
    events = json.loads(place.types("netmap events list --type PeerRegistered -o json"))
    assert events[-1]["actor"] == f"api-{tool.key[10:22]}"
    assert tool.call("DELETE", "/api/v1/node/100000001").json == {}
    assert tool.call("GET", "/api/v1/node").json["wireguardOnlyPeers"] == []


def test_a_key_that_was_ended_is_out_at_the_next_request(place: Place) -> None:
    tool, other = place.tool(), place.tool()
    for _ in range(3):
        assert tool.call("GET", "/api/v1/user").status == 200
    place.types(f"netmap apikey expire {tool.key[10:22]}")
    ended = tool.call("GET", "/api/v1/user")
    assert (ended.status, ended.body) == (401, "Unauthorized")
    assert other.call("GET", "/api/v1/user").status == 200


def test_no_key_is_in_any_file_of_the_server(place: Place) -> None:
    tool = place.tool()
    assert tool.call("GET", "/api/v1/user").status == 200
    tool.call("GET", f"/api/v1/node?key={tool.key}")
    secret = tool.key[23:].encode()
    files = [path for path in place.serving.directory.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not [path for path in (*files, place.serving.log) if secret in path.read_bytes()]


def test_the_poll_url_answers_with_a_tag(place: Place) -> None:
    tool = place.tool()
    tool.call("POST", "/api/v1/wireguard-only-peer/register", PEER)
    router = place.tool("--scope", "export", "--peer", str(PEER["name"]))
    first = router.call("GET", f"/wg/export/{PEER['name']}?format=routeros")
    assert first.status == 200
    assert "# netmap checksum: sha256:" in first.body
    assert router.call("GET", "/wg/export/100000001", If_None_Match=first.headers["etag"]).status == 304
    assert router.call("GET", "/api/v1/node").status == 404
    assert router.call("GET", "/wg/export/100000002").status == 404


class Story:
    """A client, a far side with the script, the web."""

    def __init__(self, lab: Lab, tailnet: Cluster) -> None:
        self.tailnet = tailnet
        self.web = WebEcho(lab)
        self.wg = WireGuardGo(lab.host("wg"))
        self.client = TailscaleClient(LATEST, lab.host("n1"), mode="tun")
        self.client.start()
        self.client.up(tailnet.url, tailnet.auth_key())
        self.client.wait_running()
        self.script = self.wg.host.folder / "poll.sh"

    def install(self, url: str) -> str:
        """Put the printed script onto the far side, with a key; return the key."""
        text = self.tailnet.cli("wg", "poll-script", "far", "--url", url, "--interface", self.wg.interface)
        key = self.tailnet.cli("apikey", "create", "--scope", "export", "--peer", "far").strip()
        state = self.wg.host.folder / "polled"
        text = text.replace("/var/lib/netmap", str(state)).replace("key=KEY ", f"key={key} ")
        self.script.write_text(text)
        self.script.chmod(stat.S_IRWXU)
        return key

    def polls(self, status: int = 0) -> None:
        done = self.wg.host.run(["sh", str(self.script)], check=False)
        assert done.returncode == status, done.stderr


@pytest.fixture(scope="module")
def story(lab: Lab, tailnet: Cluster) -> Iterator[Story]:
    told = Story(lab, tailnet)
    endpoint = f"{told.wg.host.ip4}:51820"
    told.tailnet.cli(
        *("node", "register-wg-only", "--name", "far", "--user", "1", "--public-key", told.wg.public_key),
        *("--allowed-ips", "0.0.0.0/0,::/0", "--endpoints", endpoint),
    )
    told.tailnet.cli(
        *("node", "add-wg-connection", "--node-id", "n1", "--wg-peer-id", "far"),
        *("--ipv4-masq-addr", "10.64.0.2", "--ipv6-masq-addr", "fc00:bbbb::2"),
    )
    yield told
    told.client.stop()


def test_a_far_side_that_polls_lets_the_node_through(story: Story) -> None:
    story.install(story.tailnet.serve_http())
    story.client.wait_peer("far")
    story.client.set("--exit-node=far")
    assert story.wg.peers() == {}
    story.polls()
    key = key_base64(story.client.node_key())
    assert story.wg.peers() == {key: ["10.64.0.2/32", "fc00:bbbb::2/128"]}
    relayed = story.wg.host.ip4
    wait_until(
        lambda: story.client.curl(story.web.url4, timeout=3).body == relayed, "the web sees it", timeout=30
    )
    (connection,) = story.tailnet.ask("connection", "list", "--peer", "far")
    assert connection["exported"]["nodeKeyBase64"] == key


def test_a_poll_without_news_leaves_the_interface_alone(story: Story) -> None:
    before = len(story.tailnet.ask("events", "list"))
    key = key_base64(story.client.node_key())
    handshake = story.wg.latest_handshakes()[key]
    story.polls()
    assert story.wg.latest_handshakes()[key] >= handshake > 0
    assert len(story.tailnet.ask("events", "list")) == before


def test_a_node_that_was_disconnected_is_gone_after_the_next_poll(story: Story) -> None:
    story.tailnet.cli("node", "remove-wg-connection", "--node-id", "n1", "--wg-peer-id", "far")
    story.polls()
    assert story.wg.peers() == {}


def test_with_an_ended_key_nothing_changes(story: Story) -> None:
    story.tailnet.cli(
        *("node", "add-wg-connection", "--node-id", "n1", "--wg-peer-id", "far"),
        *("--ipv4-masq-addr", "10.64.0.2"),
    )
    story.tailnet.cli("apikey", "expire", str(story.tailnet.ask("apikey", "list")[-1]["prefix"]))
    story.polls(status=22)  # curl's word for an answer of 400 or more
    assert story.wg.peers() == {}
