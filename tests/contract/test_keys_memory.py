"""Keys in memory keep the contract."""

import pytest

from engine.adapters.subjectkeys.memory import MemorySubjectKeys
from engine.keyports import SubjectKeys
from tests.contract.keys_suite import Place, SubjectKeysContract


class MemoryPlace:
    def __init__(self) -> None:
        self._keys = MemorySubjectKeys()

    def keys(self) -> SubjectKeys:
        return self._keys

    def reader(self) -> SubjectKeys:
        return self._keys


class TestMemory(SubjectKeysContract):
    @pytest.fixture
    def place(self) -> Place:
        return MemoryPlace()
