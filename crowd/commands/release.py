"""`crowd release`: freeze what is accepted, and write it as files, in the foreground and resumable."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import yaml

from crowd.audits.service import told_before
from crowd.commands.opening import open_runtime
from crowd.commands.showing import console, progress_bar
from crowd.core import clock
from crowd.core.clock import rfc3339
from crowd.core.errors import Problem, field_error
from crowd.datasets import queries, service, verification
from crowd.datasets.about import checked_about
from crowd.datasets.exports import ExportError, Place, Plan, write_export, written_before
from crowd.datasets.formats import classifier
from crowd.datasets.records import Split
from crowd.runtime import Runtime
from crowd.tasks import taxonomies
from crowd.taxonomy import Taxonomy

CHUNK = 200
MOST_PROBLEMS = 20


@click.group()
def release() -> None:
    """Freeze a data set, and export it."""


@release.command()
@click.argument("name")
@click.option("--about", "about_file", type=click.Path(path_type=Path), help="A YAML file, see below.")
def create(name: str, about_file: Path | None) -> None:
    """Freeze every accepted image with its labels of today under NAME; a release is never changed.

    --about fills in the specification form: name, use, summary, source, history, author, comparison,
    coverage, independence, cautions, related, license, cite and url, each a text.
    """
    about = _about(about_file) if about_file else None
    with open_runtime() as rt:
        taxonomy_id = taxonomies.shelf(rt).present_id()
        made = service.create_release(
            rt.db,
            name,
            taxonomy_id=taxonomy_id,
            by=None,
            now=clock.now(),
            about=about,
            policy=rt.policy,
        )
        with rt.db.read() as conn:
            sizes = queries.split_sizes(conn, made.id)
    shares = ", ".join(f"{sizes[split]} {split}" for split in Split)
    click.echo(f"Release {made.name}: {made.images} images ({shares})")


@release.command("list")
def list_releases() -> None:
    """List every release: images, when it was frozen, name."""
    with open_runtime() as rt:
        after: int | None = None
        while True:
            with rt.db.read() as conn:
                rows = queries.releases(conn, after=after, limit=CHUNK)
            for row in rows:
                click.echo(f"{row.images:>9}  {rfc3339(row.created_at)}  {row.name}")
            if len(rows) < CHUNK:
                return
            after = rows[-1].id


@release.command()
@click.argument("one")
@click.argument("other")
@click.option("--images/--no-images", default=False, help="List the images too, a line each.")
def diff(one: str, other: str, images: bool) -> None:
    """Tell what is different in the release OTHER from the release ONE."""
    with open_runtime() as rt:
        with rt.db.read() as conn:
            first, second = (service.find_release_named(conn, name).id for name in (one, other))
            sizes = queries.diff_sizes(conn, first, second)
        click.echo(", ".join(f"{size} {change}" for change, size in sizes.items()))
        after = 0 if images else None
        while after is not None:
            with rt.db.read() as conn:
                rows = queries.diff_page(conn, first, second, after=after, limit=CHUNK)
            for row in rows:
                told = service.difference(row)
                click.echo(f"{told['image_id']:>12}  {' '.join([*told['what'], *told['stages']])}")
            after = rows[-1].image_id if len(rows) == CHUNK else None


@release.command()
@click.argument("name")
@click.option("--format", "format_name", required=True, help="kfashion, …; an unknown one lists them all.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new or empty folder.")
@click.option("--layout", help="How the folders are laid out; kfashion: guideline (default) or release.")
@click.option(
    "--word-vectors",
    type=click.Path(path_type=Path),
    help="A text file of word2vec or GloVe, for the label embeddings of the format classifier.",
)
@click.option("--check/--no-check", default=True, help="Read everything again afterwards and check it.")
@click.option(
    "--report", type=click.Path(path_type=Path), help="Write what the check found as a report (Markdown)."
)
def export(
    name: str,
    format_name: str,
    out: Path,
    layout: str | None,
    word_vectors: Path | None,
    check: bool,
    report: Path | None,
) -> None:
    """Write the release NAME into the folder --out.

    It may be interrupted: the same command goes on where it was. The images are copies, so what is
    done to them does not reach the system.
    """
    with open_runtime() as rt:
        with rt.db.read() as conn:
            found = service.find_release_named(conn, name)
        service.revise(rt.db, found.id, clock.now())
        with rt.db.read() as conn:
            plan = service.plan(conn, rt, found.id, format_name, layout)
            audits = told_before(conn, found.created_at) if report else []
        if word_vectors:
            plan = replace(plan, words=_vectors(word_vectors, plan.taxonomy))
        _write(rt, plan, out)
        _refuse_revised(rt, plan, out)
    if check:
        _check(plan, out, report, audits)
    # What is called done is to survive the power going off.
    os.sync()
    click.echo(f"{plan.release.images} images of {name} as {plan.format.name} ({plan.layout}) in {out}")


def _about(path: Path) -> dict[str, str]:
    try:
        return checked_about(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise field_error("--about", f"{path}: {error}") from None


def _vectors(path: Path, taxonomy: Taxonomy) -> dict[str, list[float]]:
    """The vectors of the words in the names of styles. Raises a 422 about the file."""
    wanted = frozenset(word for style in taxonomy.styles for word in classifier.words_of(style.key))
    try:
        found = classifier.read_vectors(path, wanted)
    except (OSError, ValueError) as error:
        raise field_error("--word-vectors", f"{path}: {error}") from None
    if not found:
        raise field_error("--word-vectors", f"{path}: holds none of the words {', '.join(sorted(wanted))}")
    return found


def _write(rt: Runtime, plan: Plan, out: Path) -> None:
    total = plan.release.images
    with progress_bar() as bar:
        step = bar.add_task("Writing", total=total)

        def progress(written: int) -> None:
            bar.update(step, completed=written)

        try:
            write_export(rt.db, rt.storage, plan, Place(out, link=False), progress)
        except KeyboardInterrupt:
            bar.stop()
            click.echo(
                f"Interrupted with {written_before(out)} of {total} images written; "
                "the same command goes on from there.",
                err=True,
            )
            raise SystemExit(130) from None
        except ExportError as error:
            raise Problem("export_failed", str(error)) from None
        except OSError as error:
            raise Problem("export_failed", f"{error.filename or out}: {error.strerror or error}") from None


def _refuse_revised(rt: Runtime, plan: Plan, out: Path) -> None:
    """Raises Problem where an image was withdrawn, or its picture made anew, while all this was written."""
    service.revise(rt.db, plan.release.id, clock.now())
    with rt.db.read() as conn:
        newest = service.find_release(conn, plan.release.id).revision
    if newest != plan.release.revision:
        text = f"{out}: the release has revision {newest} by now; export it again, into another folder"
        raise Problem("revised", text)


def _check(plan: Plan, out: Path, report_file: Path | None, audits: Sequence[str]) -> None:
    """Look at the export as its users will. Raises Problem for one that is not sound."""
    with console.status("Checking"):
        report = plan.format.check(out, plan.taxonomy)
    if report_file:
        title = f"{plan.release.name}, {plan.format.name} ({plan.layout})"
        told = verification.render(title, report, plan.release.images, audits)
        try:
            report_file.write_text(told, encoding="utf-8")
        except OSError as error:
            raise field_error("--report", f"{report_file}: {error.strerror}") from None
    problems = list(report.problems)
    if report.images != plan.release.images:
        problems.insert(0, f"{report.images} images were found, {plan.release.images} were released")
    for problem in problems[:MOST_PROBLEMS]:
        click.echo(problem, err=True)
    if problems:
        raise Problem("unsound", f"{out}: the export does not hold: {len(problems)} problems")
