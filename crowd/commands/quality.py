"""`crowd quality`: what people's answers are worth, looked into by hand."""

import click

from crowd.commands.detect import detect


@click.group()
def quality() -> None:
    """Quality: run the detectors by hand."""


quality.add_command(detect)
