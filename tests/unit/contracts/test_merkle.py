"""The tree over the log, against RFC 9162's recursive definition and the test vectors of Certificate Transparency."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contracts.merkle import Frontier, leaf_of, proof_of, root_from

VECTORS = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
"""Roots of the first 1, 2, … entries (github.com/google/certificate-transparency, cpp/merkletree/merkle_tree_test.cc)."""


def naive(entries: Sequence[bytes]) -> bytes:
    if not entries:
        return hashlib.sha256().digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\0" + entries[0]).digest()
    half = 1 << ((len(entries) - 1).bit_length() - 1)
    return hashlib.sha256(b"\1" + naive(entries[:half]) + naive(entries[half:])).digest()


def root_of(entries: Sequence[bytes]) -> bytes:
    tree = Frontier()
    for entry in entries:
        tree.add(entry)
    assert tree.size == len(entries)
    return tree.root()


@pytest.mark.parametrize("size", range(1, len(VECTORS) + 1))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    assert root_of([bytes.fromhex(text) for text in VECTORS[:size]]).hex() == ROOTS[size - 1]


@given(st.lists(st.binary(max_size=4), max_size=70))
def test_a_growing_tree_has_the_root_of_the_definition(entries: list[bytes]) -> None:
    assert root_of(entries) == naive(entries)


@given(st.integers(1, 70), st.data())
def test_a_proof_leads_from_its_leaf_to_the_root_and_from_no_other(size: int, data: st.DataObject) -> None:
    entries = [bytes([number]) for number in range(size)]
    leaves = [leaf_of(entry) for entry in entries]
    index = data.draw(st.integers(0, size - 1))
    path = proof_of(leaves, index)
    root = naive(entries)
    assert len(path) <= (size - 1).bit_length()
    assert root_from(leaves[index], index, size, path) == root
    other = data.draw(st.integers(0, size - 1).filter(lambda number: number != index)) if size > 1 else -1
    assert root_from(leaves[index], other, size, path) != root
    assert root_from(leaf_of(b"forged"), index, size, path) != root
    assert root_from(leaves[index], index, size, (*path, bytes(32))) != root
    if path:
        assert root_from(leaves[index], index, size, path[:-1]) != root
        spoilt = data.draw(st.integers(0, len(path) - 1))
        wrong = tuple(bytes(32) if at == spoilt else node for at, node in enumerate(path))
        assert root_from(leaves[index], index, size, wrong) != root


def test_there_is_no_proof_of_what_is_not_there() -> None:
    with pytest.raises(IndexError):
        proof_of([leaf_of(b"a")], 1)
    assert root_from(leaf_of(b"a"), 1, 1, ()) is None
