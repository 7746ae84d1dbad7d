"""An entry is read back as it was, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm.principles import Category, Principle
from edit_rrm.verdicts import Verdict
from edit_rrm_service.cache_entry import BadEntryError, DecompositionRecord, VerificationRecord, seal, unseal

PRINCIPLE = Principle(question="Is it blue?", category=Category.INSTRUCTION_FOLLOWING)
VERDICT = Verdict(principle=PRINCIPLE, passed=True, probability=0.1 + 0.2, label_mass=1.0, rationale="blå\n")
RECORD = VerificationRecord(verdicts=(VERDICT,), reasoning="it is blue", scores=(7.1, 1 / 3))


def test_a_record_comes_back_to_the_last_digit() -> None:
    assert unseal("key", seal("key", RECORD), VerificationRecord) == RECORD


def test_an_entry_of_another_key_or_kind_is_none() -> None:
    data = seal("key", RECORD)
    with pytest.raises(BadEntryError, match="not written for this key"):
        unseal("other", data, VerificationRecord)
    with pytest.raises(BadEntryError, match="no DecompositionRecord"):
        unseal("key", data, DecompositionRecord)


@given(st.data())
def test_no_damage_goes_unseen(data: st.DataObject) -> None:
    entry = bytearray(seal("key", RECORD))
    place = data.draw(st.integers(0, len(entry) - 1))
    entry[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadEntryError):
        unseal("key", bytes(entry), VerificationRecord)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_other_bytes_and_half_entries_are_none(noise: bytes, cut: int) -> None:
    for data in (noise, seal("key", RECORD)[:cut], seal("key", RECORD) + noise + b"\0"):
        with pytest.raises(BadEntryError):
            unseal("key", data, VerificationRecord)
