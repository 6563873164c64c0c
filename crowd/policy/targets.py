"""What is to be collected: accepted images in all, and of each supplier. PURE."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Targets:
    """Target quantities of accepted images; 0: none. Styles share `images` as the taxonomy says."""

    images: int = 0
    suppliers: Mapping[str, int] = field(default_factory=dict)

    def of_styles(self, shares: Mapping[str, float]) -> dict[str, int]:
        """The images by style, from the styles' shares (of whatever they add up to); none without shares."""
        whole = sum(shares.values())
        if not self.images or not whole:
            return {}
        return {key: round(self.images * share / whole) for key, share in shares.items()}

    def as_json(self) -> dict[str, Any]:
        """The same for JSON."""
        return asdict(self)


def parse_targets(document: object, errors: dict[str, str]) -> Targets | None:
    """The targets in a policy's `targets`; what is wrong goes into `errors` by its path."""
    if not isinstance(document, Mapping):
        errors["targets"] = "must hold images and suppliers"
        return None
    before = len(errors)
    errors |= {
        f"targets.{key}": "is not a field of it" for key in document if key not in ("images", "suppliers")
    }
    suppliers = document.get("suppliers", {})
    if not isinstance(suppliers, Mapping):
        errors["targets.suppliers"] = "must hold numbers of images by the suppliers' names"
        suppliers = {}
    numbers = {"targets.images": document.get("images", 0)}
    numbers |= {f"targets.suppliers.{name}": number for name, number in suppliers.items()}
    for path, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            errors[path] = "must be a whole number of at least 0"
    if len(errors) > before:
        return None
    return Targets(numbers["targets.images"], {str(name): number for name, number in suppliers.items()})
