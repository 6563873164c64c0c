"""Right answers to any task, ready made: what a client sends must cost nearly nothing to think up. PURE."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

Json = dict[str, Any]

VERDICT: Json = {"score": 5, "blame": None, "reasons": [], "comment": ""}


@dataclass(frozen=True, slots=True)
class Replies:
    """Answers that hold for every image that is at least as large as the one they were made for.

    `attributes`: values for a region of each part. `verdict`: of every review, passing unless told otherwise.
    """

    segmentation: Json
    attributes: Mapping[str, Json]
    styles: Json
    verdict: Json = field(default_factory=VERDICT.copy)

    def to(self, task: Mapping[str, Any]) -> Json:
        """The result for a claimed task (the API's JSON)."""
        match task["stage"]:
            case "segmentation":
                return self.segmentation
            case "attributes":
                regions = task["labels"]["segmentation"]["regions"]
                return {"regions": {region["id"]: self.attributes[region["part"]] for region in regions}}
            case "styles":
                return self.styles
            case "adjudication" if task["cause"] == "styles":
                return self.styles
        return self.verdict

    def as_json(self) -> Json:
        """To be handed to another process."""
        return asdict(self)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """The other end of `as_json`."""
        return cls(**document)
