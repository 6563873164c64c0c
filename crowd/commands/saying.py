"""How a command is told why something is done: the two forms of `--reason`."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from crowd.tiers.service import LONGEST_REASON

F = TypeVar("F", bound=Callable[..., Any])


class Words(click.ParamType[str]):
    """What somebody wrote, without the blanks around it; where it is `needed` blanks alone are refused."""

    name = "text"

    def __init__(self, *, needed: bool) -> None:
        self.needed = needed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text; a usage error (exit code 2) where it says nothing, or too much."""
        text = str(value).strip()
        if self.needed and not text:
            self.fail("say why", param, ctx)
        if len(text) > LONGEST_REASON:
            self.fail(f"at most {LONGEST_REASON} characters", param, ctx)
        return text


def reason_option(*, needed: bool = True, kept_in: str = "the history") -> Callable[[F], F]:
    """The option `--reason`; the text is empty where it is not `needed` and was left out."""
    words = Words(needed=needed)
    said = f"Why; kept in {kept_in}."
    if needed:
        return click.option("--reason", required=True, type=words, help=said)
    return click.option("--reason", default="", type=words, help=said)
