"""The lab itself carries traffic, loses it when it should, and leaves nothing behind."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.lab import claims
from tests.kit.lab.clients import VERSIONS, TailscaleClient, login_url
from tests.kit.lab.derp import STUN_PORT, derp_map, start_stun
from tests.kit.lab.dns import NameServer
from tests.kit.lab.net import CONTROL_IP, ROOT, Lab
from tests.kit.lab.ready import lab_available, require_lab
from tests.kit.lab.web import WebEcho
from tests.kit.lab.wireguard import WireGuardGo, key_base64
from tests.kit.procs import DeadlineError, Proc, ProcessDiedError, free_port, wait_until

pytestmark = pytest.mark.real

ASK_STUN = f"""
import socket, os
from tests.kit.lab import stun
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.bind(("", 41641)); s.settimeout(3)
    s.sendto(stun.HEADER.pack(stun.BINDING_REQUEST, 0, stun.COOKIE, bytes(12)), ("203.0.113.10", {STUN_PORT}))
    got = s.recv(2048)
print(got == stun.answer(stun.HEADER.pack(stun.BINDING_REQUEST, 0, stun.COOKIE, bytes(12)), "203.0.113.21", 41641))
"""

CRASH = """
import sys, time
from tests.kit.lab.net import Lab
lab = Lab()
proc = lab.host("n1").spawn(["sleep", "1000"])
print(lab.prefix, proc.pid, flush=True)
time.sleep(1000)
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    require_lab(versions=())
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture(scope="module")
def web(lab: Lab) -> WebEcho:
    return WebEcho(lab)


def test_a_caller_is_told_its_address(lab: Lab, web: WebEcho) -> None:
    for host in (lab.host("n1"), lab.host("n2")):
        assert host.curl(web.url4).body == host.ip4
        assert host.curl(web.url6).body == host.ip6


def test_the_control_address_is_reached_by_a_route(lab: Lab) -> None:
    lab.host("ctl").spawn_module("http.server", "8080", log="http").wait_port(8080)
    assert lab.host("n1").curl(login_url(8080), "--head").status == 200
    assert lab.host("n1").curl(login_url(8081)).status == 0


def test_nothing_leads_outside(lab: Lab) -> None:
    links = json.loads(lab.host("n1").run(["ip", "-j", "link"]).stdout)
    assert {link["ifname"] for link in links} == {"lo", "e0"}
    assert not lab.host("n1").ping("192.0.2.1", timeout=1)
    assert lab.host("n1").route_device("192.0.2.1") == "e0"


def test_a_cut_cable_loses_packets_until_healed(lab: Lab, web: WebEcho) -> None:
    n3 = lab.host("n3")
    assert n3.curl(web.url4).status == 200
    n3.cut()
    assert n3.curl(web.url4, timeout=1).status == 0
    n3.heal()
    wait_until(lambda: n3.curl(web.url4, timeout=1).status == 200, "the cable carries again")


def test_what_a_host_writes_to_etc_stays_there(lab: Lab) -> None:
    machine = Path("/etc/resolv.conf").read_bytes()
    n1 = lab.host("n1")
    n1.run(
        ["sh", "-c", "cp /etc/resolv.conf /etc/new && echo '# n1' >>/etc/new && mv /etc/new /etc/resolv.conf"]
    )
    assert "# n1" in n1.run(["cat", "/etc/resolv.conf"]).stdout
    assert "# n1" not in lab.host("n2").run(["cat", "/etc/resolv.conf"]).stdout
    assert Path("/etc/resolv.conf").read_bytes() == machine


def test_the_name_server_notes_who_asked(lab: Lab) -> None:
    names = NameServer(lab.host("web"), lab.host("web").ip4, "203.0.113.80")
    assert "203.0.113.80" in lab.host("n2").run(["getent", "ahostsv4", "echo.example"]).stdout
    names.wait_asked(lab.host("n2").ip4, "echo.example")
    with pytest.raises(DeadlineError, match=r"echo\.example"):
        names.wait_asked(lab.host("n1").ip4, "echo.example", timeout=0.1)


def test_stun_tells_the_address_and_port_seen(lab: Lab) -> None:
    start_stun(lab)
    proc = lab.host("n1").spawn([sys.executable, "-c", ASK_STUN], "ask-stun", cwd=ROOT)
    assert proc.wait_exit() == 0
    assert proc.text().strip() == "True"


def test_the_derp_map_has_one_region_with_coordinates() -> None:
    regions = derp_map()["Regions"]
    assert set(regions) == {"900"}
    assert regions["900"]["Latitude"] == pytest.approx(52.52)


def test_the_far_side_masquerades_only_the_peers_it_knows(lab: Lab, web: WebEcho) -> None:
    far = WireGuardGo(lab.host("wg"))
    near = WireGuardGo(lab.host("n4"), "wgc0", ("10.64.0.2/32", "fc00:bbbb::2/128"))
    near.set_peer(far.public_key, ["0.0.0.0/0", "::/0"], endpoint=far.endpoints[0])
    n4 = lab.host("n4")
    n4.run(["ip", "route", "add", f"{web.host.ip4}/32", "dev", "wgc0", "src", "10.64.0.2"])
    n4.run(["ip", "-6", "route", "add", f"{web.host.ip6}/128", "dev", "wgc0", "src", "fc00:bbbb::2"])
    assert n4.curl(web.url4, timeout=1).status == 0, "a stranger got through"

    seen = far.tcpdump("dst port 80")
    far.set_peer(near.public_key, ["10.64.0.2/32", "fc00:bbbb::2/128"])
    assert far.peers() == {near.public_key: ["10.64.0.2/32", "fc00:bbbb::2/128"]}
    # A stranger's handshake was just ignored, the next attempt is 5 s later (WireGuard paper, 6.4).
    wait_until(
        lambda: n4.curl(web.url4, timeout=2).body == "203.0.113.50", "traffic by the far side", timeout=15
    )
    assert n4.curl(web.url6).body == "2001:db8:1::50"
    assert far.wait_handshake(near.public_key) > 0
    assert far.peer_endpoints()[near.public_key].startswith("203.0.113.24:")
    seen.wait_source("fc00:bbbb::2")
    assert seen.stop() == {"10.64.0.2", "fc00:bbbb::2"}

    far.remove_peer(near.public_key)
    assert n4.curl(web.url4, timeout=1).status == 0, "a removed peer still gets through"
    before = far.public_key
    assert far.rotate_key() != before


def test_a_node_key_has_a_base64_form() -> None:
    assert key_base64("nodekey:" + "00" * 31 + "01") == "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE="


@pytest.mark.parametrize("mode", ["tun", "userspace"])
@pytest.mark.parametrize("version", VERSIONS)
def test_each_client_starts_wants_a_login_and_stops(lab: Lab, version: str, mode: str) -> None:
    require_lab([version])
    client = TailscaleClient(
        version, lab.host("n5"), mode="tun" if mode == "tun" else "userspace", state="mem"
    )
    client.start()
    assert client.status()["Version"].startswith(version)
    assert client.status()["TUN"] is (mode == "tun")
    client.wait_state("NeedsLogin")
    assert json.loads(client.cli("status", "--json"))["BackendState"] == "NeedsLogin"
    with pytest.raises(DeadlineError, match="is Running"):
        client.wait_running(timeout=0.2)
    assert client.stop() == 0


def test_a_client_survives_a_kill(lab: Lab) -> None:
    require_lab([VERSIONS[0]])
    client = TailscaleClient(VERSIONS[0], lab.host("n6"))
    client.start()
    client.kill()
    with pytest.raises(OSError, match="refused"):
        client.status()
    client.start()
    client.wait_state("NeedsLogin")
    assert client.stop() == 0


def test_a_crashed_run_is_swept_and_a_living_one_is_not(lab: Lab, tmp_path: Path) -> None:
    run = Proc([sys.executable, "-c", CRASH], tmp_path / "crash.log", cwd=ROOT)
    prefix, sleeper = run.wait_line(r"^(nm\w+) (\d+)$").groups()
    run.signal(signal.SIGKILL)
    run.wait_exit()
    assert set(claims.namespaces(prefix)) == {f"{prefix}-n1", f"{prefix}-sw"}
    assert _runs(sleeper)
    with Lab() as other:
        assert claims.namespaces(prefix) == []
        assert claims.namespaces(lab.prefix), "a living run was swept"
        assert other.prefix != lab.prefix
    assert not claims.namespaces(other.prefix)
    assert not (claims.base() / prefix).exists()
    assert not _runs(sleeper)


def test_kill_ends_the_children_too(tmp_path: Path) -> None:
    proc = Proc(["sh", "-c", "sleep 1000 & echo child $!; wait"], tmp_path / "log")
    child = proc.wait_line(r"^child (\d+)")[1]
    assert proc.kill() == -signal.SIGKILL
    wait_until(lambda: not _runs(child), "the child ends")


def test_a_wait_ends_with_the_process_and_shows_its_log(tmp_path: Path) -> None:
    proc = Proc(["sh", "-c", "echo last words"], tmp_path / "log")
    start = time.monotonic()
    with pytest.raises(ProcessDiedError, match="last words"):
        proc.wait_line("never", timeout=30)
    assert time.monotonic() - start < 10


def test_a_port_is_seen_when_somebody_listens(tmp_path: Path) -> None:
    port = free_port()
    argv = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    with Proc(argv, tmp_path / "log") as proc:
        proc.wait_port(port)
        with pytest.raises(DeadlineError):
            proc.wait_port(free_port(), timeout=0.1)
    assert proc.returncode == -signal.SIGTERM


def test_missing_clients_are_named_and_fatal_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    require_lab(versions=())
    assert "0.0.1" in (lab_available(["0.0.1"]) or "")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(RuntimeError, match="make clients"):
        require_lab(["0.0.1"])


def test_ctl_answers_at_the_private_address(lab: Lab) -> None:
    lab.host("ctl")
    assert lab.host("n1").ping(CONTROL_IP)


def _runs(pid: str) -> bool:
    done = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True, check=False)
    return done.stdout.strip()[:1] not in ("", "Z")
