"""The systemd units: systemd takes them, they are shut in, what they start is a command, and their settings exist."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from engine.adapters.bus.server import binary
from engine.config import Settings
from tests.unit.deploy.test_deploy import CLUSTER_PLAN, ROOT, parsed

FOLDER = ROOT / "deploy/systemd"
UNITS = sorted(path.name for path in FOLDER.glob("*.service"))
EXPOSURE = 20
"""Tenths of the 0 to 10 of `systemd-analyze security`; reference ecosystem §7.2 asks for 2.0 at most."""
NATS = Path(str(binary()))
PROGRAMS = {"netmap": NATS.parent / "netmap", "nats-server": NATS}


@pytest.fixture
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("NO systemd-analyze here: the units are not verified")
    return found


def command_of(unit: str) -> list[str]:
    found = re.search(r"^ExecStart=(.+)$", (FOLDER / unit).read_text(), re.MULTILINE)
    assert found is not None
    return shlex.split(found[1])


def installed(unit: str, folder: Path) -> Path:
    """A copy that starts the programs that are here, and has an instance if it is a template."""
    text = (FOLDER / unit).read_text()
    for name, program in PROGRAMS.items():
        text = text.replace(f"/opt/netmap/bin/{name} ", f"{program} ")
    text = re.sub(r"^(User|Group)=netmap$", r"\1=root", text, flags=re.MULTILINE)
    path = folder / unit.replace("@", "@1")
    path.write_text(text)
    return path


def test_there_is_one_for_every_role() -> None:
    roles = {command_of(unit)[2] for unit in UNITS if command_of(unit)[1] == "run"}
    assert roles == {"engine", "projection", "frontend", "admin"}
    assert {"netmap.service", "netmap-nats.service"} <= set(UNITS)


@pytest.mark.parametrize("unit", UNITS)
def test_what_it_starts_is_a_command(unit: str) -> None:
    program, *words = command_of(unit)
    if program.endswith("/netmap"):
        path, _ = parsed(words)
        assert unit.startswith("netmap.") or path[1] in unit
    else:
        assert words == ["-c", "/etc/netmap/nats.conf"]


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_takes_it(analyze: str, unit: str, tmp_path: Path) -> None:
    path = installed(unit, tmp_path)
    done = subprocess.run([analyze, "verify", path], check=False, capture_output=True, text=True)
    ours = [line for line in (done.stdout + done.stderr).splitlines() if path.name in line]
    assert ours == []


@pytest.mark.parametrize("unit", UNITS)
def test_it_is_shut_in(analyze: str, unit: str, tmp_path: Path) -> None:
    path = installed(unit, tmp_path)
    path.write_text(
        path.read_text().replace("User=root", "User=nobody").replace("Group=root", "Group=nogroup")
    )
    argv = [analyze, "security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", str(path)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr


def test_a_mistake_is_found(analyze: str, tmp_path: Path) -> None:
    path = installed(UNITS[0], tmp_path)
    path.write_text(path.read_text().replace("Restart=always", "Restart=allways"))
    done = subprocess.run([analyze, "verify", path], check=False, capture_output=True, text=True)
    assert "allways" in done.stdout + done.stderr


def names_in(file: str) -> set[str]:
    return set(re.findall(r"^([A-Z_0-9]+)=", (FOLDER / file).read_text(), re.MULTILINE))


def test_every_variable_of_the_roles_is_a_setting() -> None:
    for name in names_in("netmap.env.example") | names_in("role.env.example"):
        assert name.removeprefix("NETMAP_").lower() in Settings.__struct_fields__, name


def test_every_variable_of_the_nats_server_is_in_its_example() -> None:
    text = (ROOT / "deploy/nats/cluster.conf").read_text()
    assert set(re.findall(r"\$(NETMAP_[A-Z_0-9]+)", text)) == names_in("nats.env.example")
    assert CLUSTER_PLAN.member is not None


def test_no_example_has_a_password() -> None:
    for file in FOLDER.glob("*.example"):
        assert not re.search(r"^NETMAP_[A-Z_]*PASSWORD=.+$", file.read_text(), re.MULTILINE), file
