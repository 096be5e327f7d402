"""Signed checkpoints: their text is that of signed notes, and nothing of it can be changed unseen."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from engine.contracts.checkpoint import (
    BadNoteError,
    Checkpoint,
    Signer,
    Verifier,
    notes_in,
    origin_of,
    read,
)
from engine.domain.values import DEFAULT_TAILNET, Epoch, Position

ORIGIN = origin_of(DEFAULT_TAILNET, Epoch("e1"))
SIGNER = Signer(ORIGIN, bytes([7]) * 32)
CHECKPOINT = Checkpoint(
    origin=ORIGIN, size=12, root=bytes(range(32)), position=Position(15), digest="ab" * 32
)
NOTE = SIGNER.note(CHECKPOINT)


def test_a_note_is_what_the_specification_says() -> None:
    lines = NOTE.split("\n")
    assert lines[:5] == [
        ORIGIN,
        "12",
        base64.b64encode(bytes(range(32))).decode(),
        f"head 15 {'ab' * 32}",
        "",
    ]
    dash, name, signature = lines[5].split(" ")
    assert (dash, name, lines[6:]) == ("\N{EM DASH}", ORIGIN, [""])
    octets = base64.b64decode(signature)
    assert octets[:4] == SIGNER.verifier.id
    Ed25519PublicKey.from_public_bytes(SIGNER.verifier.public).verify(
        octets[4:], "\n".join(lines[:4]).encode() + b"\n"
    )


def test_a_note_is_read_back_and_its_signature_is_checked() -> None:
    assert read(NOTE, [SIGNER.verifier]) == (CHECKPOINT, True)
    assert read(NOTE, []) == (CHECKPOINT, False)
    assert read(NOTE, [Signer(ORIGIN, bytes([8]) * 32).verifier]) == (CHECKPOINT, False)


def test_a_log_without_records_has_a_checkpoint_too() -> None:
    empty = Checkpoint(origin=ORIGIN, size=0, root=bytes(32), position=Position(0), digest="")
    assert read(SIGNER.note(empty), [SIGNER.verifier]) == (empty, True)


def test_no_octet_of_a_note_can_be_changed_unseen() -> None:
    octets = NOTE.encode()
    for at in range(len(octets)):
        changed = bytearray(octets)
        changed[at] ^= 1
        try:
            _, signed = read(changed.decode(), [SIGNER.verifier])
        except (BadNoteError, UnicodeDecodeError):
            continue
        assert not signed, at  # the name or the four octets that name the key: then it is nobody's we know


def test_a_note_of_others_beside_ours_is_passed_over() -> None:
    witness = Signer("witness.example.org", bytes([9]) * 32)
    both = NOTE + witness.note(CHECKPOINT).split("\n\n")[1]
    assert read(both, [SIGNER.verifier]) == (CHECKPOINT, True)
    assert read(both, [witness.verifier]) == (CHECKPOINT, True)


@pytest.mark.parametrize(
    "note", ["", "x", NOTE.replace("\n\n", "\n"), "a\n" * 4 + "\n", NOTE + "x\n", NOTE * 60]
)
def test_what_is_no_note_is_refused(note: str) -> None:
    with pytest.raises(BadNoteError):
        read(note, [])


def test_a_file_of_notes_is_read_whole_whatever_was_cut_off() -> None:
    later = SIGNER.note(
        CHECKPOINT.__class__(origin=ORIGIN, size=13, root=bytes(32), position=Position(16), digest="cd" * 32)
    )
    for cut in range(len(NOTE) - 1):
        assert list(notes_in(f"{NOTE}\n{NOTE[:cut]}\n\n{later}\n"))[-1] == later
    assert list(notes_in(f"{NOTE}\n{later}\n")) == [NOTE, later]


def test_a_key_is_printed_and_read_back() -> None:
    assert Verifier.parse(f" {SIGNER.verifier}\n") == SIGNER.verifier
    text = str(SIGNER.verifier)
    for wrong in (
        "",
        "a+b",
        text.replace("+", "-"),
        text[:-4],
        text.replace(SIGNER.verifier.id.hex(), "00000000"),
        f"x{text}",
    ):
        with pytest.raises(BadNoteError):
            Verifier.parse(wrong)
    assert "07" not in repr(SIGNER)
