"""The whole product of phases and happenings."""

import itertools

import pytest

from frontends.wire.errors import RemoteProtocolError
from frontends.wire.phases import NEXT, Phase, Saw, step


@pytest.mark.parametrize(("phase", "saw"), list(itertools.product(Phase, Saw)))
def test_every_pair_is_a_row_or_the_client_s_fault(phase: Phase, saw: Saw) -> None:
    if (phase, saw) in NEXT:
        assert step(phase, saw) is NEXT[phase, saw]
    else:
        with pytest.raises(RemoteProtocolError, match=rf"^{saw.value} while {phase.value}$"):
            step(phase, saw)


def test_every_open_phase_can_end_and_a_closed_one_does_nothing() -> None:
    for phase in Phase:
        ends = {NEXT.get((phase, saw)) for saw in (Saw.EOF, Saw.REFUSED)}
        assert ends == ({None} if phase is Phase.CLOSED else {Phase.CLOSED})
    assert all(phase is not Phase.CLOSED for phase, _ in NEXT)


def test_nothing_serves_without_the_handshake() -> None:
    assert {row for row, phase in NEXT.items() if phase is Phase.SERVING} == {
        (Phase.HANDSHAKING, Saw.INITIATION),
        (Phase.SERVING, Saw.RECORD),
    }
