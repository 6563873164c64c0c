"""Whether the extra packages that models need are installed here. Imports none of them."""

from importlib.util import find_spec

from crowd.core.errors import Problem

PACKAGES = ("torch", "numpy", "safetensors")
ADVICE = "Models need more packages: pip install 'crowd[ml]'. All else works without them."


def is_there() -> bool:
    """Whether candidates can be made in this process."""
    return all(find_spec(name) is not None for name in PACKAGES)


def require() -> None:
    """Raises Problem, telling what to install."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise Problem("no_ml", f"{', '.join(missing)} is not installed. {ADVICE}")
