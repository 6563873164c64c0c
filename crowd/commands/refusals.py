"""What a failed command tells the person at the keyboard."""

from sqlalchemy import exc

from crowd.core.config import SettingsError
from crowd.core.errors import Problem
from crowd.policy import PolicyError
from crowd.taxonomy import TaxonomyError

DATABASE = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError)


def explain(error: Exception) -> str | None:
    """The message for `error`; None for a mistake of the program's own, which shows its traceback."""
    if isinstance(error, Problem):
        return error.detail
    if isinstance(error, SettingsError):
        return str(error)
    if isinstance(error, PolicyError):
        return f"CROWD_POLICY: {error}"
    if isinstance(error, TaxonomyError):
        return f"CROWD_TAXONOMY: {error}"
    if isinstance(error, exc.DataError):
        return "A value does not fit into the database."
    if isinstance(error, DATABASE):
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        return f"DATABASE_URL: the database cannot be used: {cause}"
    return None
