"""`crowd stats`: the figures kept for people who steer."""

import click

from crowd.commands.opening import open_runtime
from crowd.steering import telling


@click.group()
def stats() -> None:
    """Figures for people who steer: tell them anew."""


@stats.command()
def rebuild() -> None:
    """Forget every figure and tell the whole history anew; stopped, upkeep goes on from there."""
    with open_runtime() as rt:
        telling.start_over(rt.db)
        told = telling.retell(rt.db) + telling.tell(rt.db)
    click.echo(f"{told} answers and events were told anew")


@stats.command()
def tell() -> None:
    """Tell what is new since upkeep last did."""
    with open_runtime() as rt:
        told = telling.tell(rt.db)
    click.echo(f"{told} answers and events were told")
