"""Which user names and passwords are taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowd.accounts.names import name_fault, normalise, password_fault


@pytest.mark.parametrize("name", ["a", "anna.b_c-d@e", "김민지", "Zoë", "นารี", "x" * 64, "worker-1"])
def test_names_of_any_script_are_taken(name: str) -> None:
    assert name_fault(normalise(name)) is None


@pytest.mark.parametrize("name", ["", "x" * 65, "two words", "a/b", "a\nb", "a\u200bb", "erased-7", "<", "½"])
def test_names_with_anything_else_are_not(name: str) -> None:
    assert name_fault(normalise(name)) is not None


@given(st.text(max_size=80))
def test_a_name_that_is_taken_stays_the_same_when_normalised_again(text: str) -> None:
    name = normalise(text)
    assert normalise(name) == name
    if name_fault(name) is None:
        assert 1 <= len(name) <= 64
        assert not any(char.isspace() or ord(char) < 32 for char in name)


@pytest.mark.parametrize(("length", "taken"), [(7, False), (8, True), (128, True), (129, False)])
def test_passwords_have_8_to_128_characters(length: int, taken: bool) -> None:
    assert (password_fault("x" * length) is None) is taken
