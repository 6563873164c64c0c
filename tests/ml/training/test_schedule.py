"""The learning rate must come up and go down as it is told to."""

import dataclasses

import pytest

from crowd.ml.hyper import Hyper, Schedule
from crowd.ml.training.run import lr_factor

HYPER = Hyper(epochs=10, warm_up=0)


def test_steps_go_to_a_tenth_at_60_and_at_80_percent() -> None:
    factor = lr_factor(HYPER, steps=10)
    rates = [factor(step) for step in (0, 59, 60, 79, 80, 99)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_a_cosine_begins_at_one_passes_a_half_and_ends_at_nothing() -> None:
    factor = lr_factor(dataclasses.replace(HYPER, schedule=Schedule.COSINE), steps=10)
    assert [factor(step) for step in (0, 50, 100)] == pytest.approx([1, 0.5, 0])


def test_warming_up_rises_step_by_step_to_the_whole_rate() -> None:
    factor = lr_factor(dataclasses.replace(HYPER, schedule=Schedule.CONSTANT, warm_up=2), steps=5)
    rates = [factor(step) for step in range(12)]
    assert rates[:10] == sorted(set(rates[:10]))
    assert 0 < rates[0] < 0.1 < rates[9] < 1 == rates[10] == rates[11]
