"""The frontends with a hole start: a hole whose place has moved is found here, and not in the lab alone."""

import subprocess

import pytest

from tests.kit import unsafe
from tests.kit.procs import environment


@pytest.mark.parametrize("hole", unsafe.HOLES)
def test_each_hole_is_cut_and_the_program_runs(hole: str) -> None:
    argv = [*unsafe.program(hole), "run", "frontend", "--help"]
    ran = subprocess.run(argv, env=environment(), capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, "--listen" in ran.stdout) == (0, True), ran.stderr
