"""The crowd of a built database: how many of each grade, and tokens that can be told from the seed."""

import hashlib
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from crowd.accounts import queries
from crowd.core import clock
from crowd.core.security import digest
from crowd.policy import Grade
from crowd.tiers import service as tiers

# In the order of their ids: each grade is one run of numbers.
CREW: dict[Grade, int] = {
    Grade.GENERAL: 400,
    Grade.SEMI_EXPERT: 30,
    Grade.EXPERT: 60,
    Grade.REVIEWER: 10,
    Grade.INSPECTOR: 4,
    Grade.ADMIN: 1,
}


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody of the crowd, with the API token they call with."""

    id: int
    grade: Grade
    token: str


def hire_all(conn: Connection, seed: int) -> None:
    """Add everybody, as the application does; only the tokens come from the seed."""
    for member in crew(seed):
        person = tiers.join(conn, f"{member.grade}-{member.id}", member.grade, by=None)
        assert person.id == member.id, "the database was not empty"
        queries.insert_token(conn, person.id, digest(member.token), clock.now())


def crew(seed: int) -> list[Member]:
    """Everybody, in the order of their ids."""
    grades = [grade for grade, count in CREW.items() for _ in range(count)]
    return [Member(place, grade, _token(seed, place)) for place, grade in enumerate(grades, start=1)]


def of_grade(seed: int, grade: Grade) -> list[Member]:
    """Everybody of one grade, in the order of their ids."""
    return [member for member in crew(seed) if member.grade is grade]


def sample(seed: int, count: int) -> list[Member]:
    """`count` people in the natural mix: grades as frequent among them as in the crew, none left out."""
    workers = [member for member in crew(seed) if member.grade is not Grade.ADMIN]
    if count >= len(workers):
        return workers
    chosen: list[Member] = []
    for grade in CREW:
        members = [member for member in workers if member.grade is grade]
        chosen += members[: max(1, round(count * len(members) / len(workers)))] if members else []
    general = [member for member in chosen if member.grade is Grade.GENERAL]
    surplus = {member.id for member in general[: max(0, len(chosen) - count)]}
    return [member for member in chosen if member.id not in surplus]


def _token(seed: int, place: int) -> str:
    return hashlib.sha256(f"{seed}/{place}".encode()).hexdigest()
