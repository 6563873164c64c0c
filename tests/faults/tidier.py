"""A maintenance process beside the job workers: takes back what ran out, again and again, until killed."""

import time

from sqlalchemy.exc import SQLAlchemyError

from crowd.core import clock
from crowd.core.config import load_settings
from crowd.runtime import build_runtime
from crowd.tasks import leases

PAUSE_SECONDS = 0.02


def main() -> None:
    """For ever; a database that is away is waited for."""
    rt = build_runtime(load_settings())
    while True:
        try:
            with rt.db.begin() as conn:
                leases.tidy(conn, rt.policy, clock.now())
        except SQLAlchemyError:
            time.sleep(0.2)
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main()
