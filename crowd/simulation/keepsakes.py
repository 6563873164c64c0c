"""What a demo keeps between two starts: logins of people to look around with, and its bots' tokens."""

import json
import os
from pathlib import Path

from sqlalchemy.engine import Connection

from crowd.accounts import queries as people
from crowd.accounts import service as accounts
from crowd.accounts.service import NewPassword
from crowd.policy import Grade
from crowd.simulation.crew import Persona
from crowd.simulation.member import Account
from crowd.tiers import service as tiers

LOGINS_FILE = "logins.txt"
BOTS_FILE = "bots.json"
REASON = "looks around in the demo"


def demo_name(grade: Grade) -> str:
    """The name of the person of that grade."""
    return f"demo-{grade}"


def read_logins(data_dir: Path) -> dict[str, str]:
    """Password by user name, as the logins file has them; empty without the file."""
    path = data_dir / LOGINS_FILE
    if not path.exists():
        return {}
    lines = (line.split() for line in path.read_text().splitlines() if not line.startswith("#"))
    return {words[0]: words[-1] for words in lines if len(words) == 3}


def without_login(conn: Connection, logins: dict[str, str]) -> list[Grade]:
    """The grades whose person, or whose password, is not there."""
    return [
        grade
        for grade in Grade
        if demo_name(grade) not in logins or people.person_named(conn, demo_name(grade)) is None
    ]


def make_passwords(grades: list[Grade]) -> dict[Grade, NewPassword]:
    """A password for each; slow, so made before the transaction that keeps them."""
    return {grade: accounts.make_password() for grade in grades}


def settle_people(conn: Connection, passwords: dict[Grade, NewPassword]) -> None:
    """Give each of these grades its person, with this password."""
    for grade, password in passwords.items():
        person = people.person_named(conn, demo_name(grade))
        if person is None:
            tiers.join(conn, demo_name(grade), grade, by=None, password=password, reason=REASON)
        else:
            # The file was lost, and with it the password.
            accounts.change_password(conn, person.id, password)


def write_logins(data_dir: Path, logins: dict[str, str]) -> Path:
    """Write the file that this user alone can read; returns its path."""
    lines = [f"{demo_name(grade):<18} {grade:<12} {logins[demo_name(grade)]}" for grade in Grade]
    path = data_dir / LOGINS_FILE
    _write_private(path, "\n".join(["# user name, grade, password", *lines, ""]))
    return path


def read_bots(conn: Connection, data_dir: Path, personas: list[Persona]) -> list[Account] | None:
    """The bots of an earlier start for the same crew, or None where they or their accounts are missing."""
    path = data_dir / BOTS_FILE
    if not path.exists():
        return None
    kept = json.loads(path.read_text())
    if any(people.person_named(conn, bot["username"]) is None for bot in kept):
        return None
    if [(bot["number"], bot["grade"]) for bot in kept] != [(each.number, each.grade) for each in personas]:
        return None
    return [
        Account(persona, bot["username"], bot["token"]) for persona, bot in zip(personas, kept, strict=True)
    ]


def write_bots(data_dir: Path, bots: list[Account]) -> None:
    """Keep the bots' tokens, for this user alone to read."""
    kept = [
        {
            "number": bot.persona.number,
            "grade": bot.persona.grade,
            "username": bot.username,
            "token": bot.token,
        }
        for bot in bots
    ]
    _write_private(data_dir / BOTS_FILE, json.dumps(kept, indent=1))


def _write_private(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    aside.replace(path)
