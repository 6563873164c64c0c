"""Grades and standing: who was moved between grades, suspended or reinstated, by whom and why."""
