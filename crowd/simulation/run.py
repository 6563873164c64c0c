"""One whole run of a simulated crowd against a running system: crew, images, work, figures."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from crowd.simulation.client import FIRST_PATIENCE_SECONDS, Client, open_http
from crowd.simulation.crew import Persona
from crowd.simulation.crowd import Crowd, Plan, Snapshot, recruit, require_admin
from crowd.simulation.figures import Figures
from crowd.simulation.ledger import Ledger
from crowd.simulation.member import Account
from crowd.simulation.truth import Truth
from crowd.simulation.truths import Truths
from crowd.simulation.uploads import Uploader
from crowd.simulation.vocabulary import Vocabulary

# Besides the bots: the watcher, and those who upload or recruit.
SPARE_CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known beforehand of images that others hand in: truths, or unusable codes, by file name."""

    truths: Mapping[str, Truth]
    unusable: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Observer:
    """Who is told how it goes: each step in words, and a snapshot about twice a second."""

    say: Callable[[str], None]
    show: Callable[[Snapshot], None]


@dataclass(frozen=True, slots=True)
class Target:
    """The system to work on, and an admin's token for it."""

    url: str
    token: str


def enlist(target: Target, personas: Sequence[Persona], seed: int) -> list[Account]:
    """Accounts for the crew, without any work done. Raises NotAdmin, Unexpected and Unreachable."""
    with open_http(target.url, SPARE_CONNECTIONS) as http:
        stop = threading.Event()
        require_admin(Client(http, target.token, Ledger(), stop, FIRST_PATIENCE_SECONDS))
        admin = Client(http, target.token, Ledger(), stop)
        return recruit(admin, personas, seed)


def simulate(
    target: Target,
    accounts: Sequence[Account],
    images: int,
    plan: Plan,
    observer: Observer,
    knowledge: Knowledge | None = None,
) -> Figures:
    """Hand in `images` drawn images, and have the accounts work until nothing is left to do.

    Raises Unexpected and Unreachable.
    """
    known = knowledge or Knowledge({}, {})
    stop = threading.Event()
    with open_http(target.url, len(accounts) + SPARE_CONNECTIONS) as http:
        setting_up = Client(http, target.token, Ledger(), stop)
        vocabulary = Vocabulary.read(setting_up.fetch("/taxonomy"))
        truths = Truths(vocabulary, plan.seed, known.truths, known.unusable)
        ids = _upload(setting_up, truths, images, plan.seed, observer) if images else []
        ledger = Ledger()
        admin = Client(http, target.token, ledger, stop)
        crowd = Crowd(http, admin, accounts, truths, ledger, stop, plan)
        return crowd.run(ids, observer.show)


def _upload(admin: Client, truths: Truths, images: int, seed: int, observer: Observer) -> list[int]:
    def tell(done: int) -> None:
        if done == images or done % max(1, images // 10) == 0:
            observer.say(f"drawn and uploaded: {done} of {images} images")

    return Uploader(admin, truths, seed).upload(images, tell)
