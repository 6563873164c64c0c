"""The command line: `crowd`. Each group of commands is a module of `crowd.commands`, imported when used."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click

from crowd.core.loading import loading


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command lives, and what `crowd --help` says of it without importing it."""

    module: str
    attribute: str
    summary: str


COMMANDS = {
    "audit": Entry("crowd.commands.audit", "audit", "The final audit: draw a sample, show what it found."),
    "backup": Entry("crowd.commands.backup", "backup", "Keep a copy of database and images, while all runs."),
    "db": Entry("crowd.commands.db", "db", "Bring the database to a migration."),
    "demo": Entry("crowd.commands.demo", "demo", "Show the whole system at work on sample images."),
    "faces": Entry("crowd.commands.faces", "faces", "Search what nobody could search for faces before."),
    "groups": Entry("crowd.commands.groups", "groups", "Groups of people: add, list, who belongs."),
    "import": Entry("crowd.commands.import_images", "import_images", "Bring images in."),
    "labels": Entry("crowd.commands.labels", "labels", "Labelled images: bring them in."),
    "model": Entry("crowd.commands.model", "model", "Models: add, list, promote, roll back."),
    "prelabel": Entry("crowd.commands.prelabel", "prelabel", "Make candidates by hand, as GPU workers do."),
    "quality": Entry("crowd.commands.quality", "quality", "Scores rebuilt, reviewers fitted, detectors run."),
    "release": Entry("crowd.commands.release", "release", "Freeze a data set, and export it."),
    "restore": Entry("crowd.commands.backup", "restore", "Bring a backup back."),
    "serve": Entry("crowd.commands.serve", "serve", "Run the web process."),
    "simulate": Entry("crowd.commands.simulate", "simulate", "Let a crowd of bots work over HTTP."),
    "stats": Entry("crowd.commands.stats", "stats", "Figures for people who steer: tell them anew."),
    "standalone": Entry("crowd.commands.standalone", "standalone", "Run the whole system, embedded."),
    "synthetic": Entry("crowd.commands.synthetic", "synthetic", "Draw a data set to train on."),
    "taxonomy": Entry(
        "crowd.commands.taxonomy", "taxonomy", "What people choose from: show, export, compare, apply."
    ),
    "train": Entry("crowd.commands.train", "train", "Train a model on a data set, or evaluate one."),
    "watch": Entry("crowd.commands.watch", "watch", "Watch over quality: doubts, drift, alerts, reports."),
    "workers": Entry("crowd.commands.workers", "workers", "People: add, list, grade, suspend, erase."),
}


class LazyGroup(click.Group):
    """A group that imports a command when it is called, and says refusals on stderr with exit code 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command's name."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        with loading():
            command: click.Command = getattr(import_module(entry.module), entry.attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].summary) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it refuses becomes one clear message."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Stopped. What was done is kept; the same command goes on from there.", err=True)
            raise click.exceptions.Exit(130) from None
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            # Imported now: `crowd --help` need not wait for all that can go wrong.
            message = import_module("crowd.commands.refusals").explain(error)
            if message is None:
                raise
            raise Refused(message) from None


class Refused(click.ClickException):
    """A command that could not be done as asked: the message on stderr, exit code 2."""

    exit_code = 2


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="crowd")
def main() -> None:
    """Crowd: many hands and expert eyes for image data sets."""
