"""Suppliers, contracts and deliveries over HTTP: for suppliers their own, for refiners and admins all."""

from typing import Any

from flask import Response, redirect, render_template, send_file
from sqlalchemy.engine import Connection
from werkzeug.datastructures import FileStorage

from crowd.accounts import service as accounts
from crowd.accounts.auth import Actor, account_of, actor, requires_grade, requires_kind
from crowd.accounts.models import AccountKind
from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.core.errors import Conflict, Forbidden, NotFound, Problem, Unavailable, field_error
from crowd.core.http import Blueprint, Page, PageArgs, page, paged
from crowd.images import contract_queries, contracts, deliveries, delivery_queries, queries, service
from crowd.images.contracts import NewContract
from crowd.images.deliveries import NewDelivery
from crowd.images.delivery_models import Step
from crowd.images.files import address_of
from crowd.images.intake_schemas import (
    AccountSchema,
    ContractDetailSchema,
    ContractFormSchema,
    ContractSchema,
    DeliveryDetailSchema,
    DeliveryImageArgs,
    DeliveryImageSchema,
    DeliveryListArgs,
    DeliverySchema,
    FileSchema,
    MoveSchema,
    NewAccountSchema,
    NewDeliverySchema,
    NewSupplierSchema,
    SettledImageSchema,
    SettleSchema,
    SupplierSchema,
    TakenFilesSchema,
    WelcomeAccountSchema,
    WithdrawSchema,
)
from crowd.images.models import Supplier
from crowd.images.service import Delivery
from crowd.images.sources import SourceError, SourceLimits, open_source
from crowd.policy import Action, Grade
from crowd.runtime import runtime
from crowd.tiers import service as tiers

blueprint = Blueprint(
    "intake",
    __name__,
    description="Suppliers, their contracts, and what they hand in.",
    template_folder="templates",
    static_folder="static",
    static_url_path="/intake/static",
)

SUPPLIER, REFINER = AccountKind.SUPPLIER, AccountKind.REFINER
ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
# What is unpacked while somebody waits for the answer; larger archives come in by `crowd import`.
ZIP_LIMITS = SourceLimits(total_bytes=256 * 1024**2, members=500)

admins_only = requires_grade(Grade.ADMIN)
whoever_delivers = requires_kind(SUPPLIER)
whoever_handles = requires_kind(SUPPLIER, REFINER)
whoever_refines = requires_kind(REFINER)


def supplier_section(conn: Connection, me: Actor) -> dict[str, Any] | None:
    """For GET /me: the supplier that one hands in for."""
    found = delivery_queries.supplier_of(conn, me.id) if me.kind is SUPPLIER else None
    return {"id": found.id, "name": found.name} if found else None


@blueprint.route("/suppliers")
@admins_only
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(SupplierSchema))
def list_suppliers(query: dict[str, Any]) -> Page:
    """Every supplier."""
    with runtime().db.read() as conn:
        rows = queries.suppliers(conn, after=query["cursor"] or 0, limit=query["limit"] + 1)
    return page(rows, query["limit"], lambda row: row.id)


@blueprint.route("/suppliers", methods=["POST"])
@admins_only
@blueprint.arguments(NewSupplierSchema)
@blueprint.response(201, SupplierSchema)
def add_supplier(body: dict[str, Any]) -> AnyRow | None:
    """The supplier of that name, added if it is new."""
    with runtime().db.begin() as conn:
        supplier_id = queries.named(conn, Supplier, body["name"].strip(), clock.now())
        return queries.supplier(conn, supplier_id)


@blueprint.route("/suppliers/<int:supplier_id>/accounts")
@admins_only
@blueprint.response(200, AccountSchema(many=True))
def list_supplier_accounts(supplier_id: int) -> list[AnyRow]:
    """The accounts that hand in for a supplier."""
    with runtime().db.read() as conn:
        return list(queries.accounts(conn, SUPPLIER, supplier_id))


@blueprint.route("/suppliers/<int:supplier_id>/accounts", methods=["POST"])
@admins_only
@blueprint.arguments(NewAccountSchema)
@blueprint.response(201, WelcomeAccountSchema)
def add_supplier_account(body: dict[str, Any], supplier_id: int) -> dict[str, Any]:
    """A login for a supplier: it delivers and sees its own findings, nothing else."""
    return _add_account(body["username"], SUPPLIER, supplier_id)


@blueprint.route("/refiners")
@admins_only
@blueprint.response(200, AccountSchema(many=True))
def list_refiners() -> list[AnyRow]:
    """The accounts of the refining team."""
    with runtime().db.read() as conn:
        return list(queries.accounts(conn, REFINER, None))


@blueprint.route("/refiners", methods=["POST"])
@admins_only
@blueprint.arguments(NewAccountSchema)
@blueprint.response(201, WelcomeAccountSchema)
def add_refiner(body: dict[str, Any]) -> dict[str, Any]:
    """A login for the refining team: it sees every delivery, settles rights, and hands over."""
    return _add_account(body["username"], REFINER, None)


@blueprint.route("/contracts")
@whoever_handles
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(ContractSchema))
def list_contracts(query: dict[str, Any]) -> Page:
    """Contracts and consents, a supplier's own."""
    with runtime().db.read() as conn:
        rows = contract_queries.listed(
            conn, supplier_id=_own(conn), after=query["cursor"] or 0, limit=query["limit"] + 1
        )
    return page(rows, query["limit"], lambda row: row.id)


@blueprint.route("/contracts", methods=["POST"])
@whoever_handles
@blueprint.arguments(ContractFormSchema, location="form")
@blueprint.arguments(FileSchema, location="files")
@blueprint.response(201, ContractDetailSchema)
def add_contract(form: dict[str, Any], files: dict[str, Any]) -> dict[str, Any]:
    """Hand in a contract or consent with its file."""
    rt = runtime()
    sent: FileStorage = files["file"]
    new = NewContract(form["kind"], form["title"], form["valid_from"], form["valid_to"], form["allows"])
    supplier = _supplier_named(form["supplier"])
    name = service.clean_name(sent.filename or "unnamed")
    contract_id = contracts.add_contract(rt, supplier, new, sent.stream.read(), name, _me().id)
    return _contract(contract_id)


@blueprint.route("/contracts/<int:contract_id>")
@whoever_handles
@blueprint.response(200, ContractDetailSchema)
def show_contract(contract_id: int) -> dict[str, Any]:
    """A contract with its history."""
    return _contract(contract_id)


@blueprint.route("/contracts/<int:contract_id>/file")
@whoever_handles
@blueprint.response(200, content_type="application/octet-stream")
def contract_file(contract_id: int) -> Response:
    """The document of a contract, as it was handed in."""
    rt = runtime()
    with rt.db.read() as conn:
        found = contracts.find(conn, contract_id, _own(conn))
    if found.file_key is None or not rt.storage.exists(found.file_key):
        raise NotFound("no_file", f"Contract {contract_id} has no file.")
    return _download(found.file_key, found.file_name)


@blueprint.route("/contracts/<int:contract_id>/withdraw", methods=["POST"])
@whoever_handles
@blueprint.arguments(WithdrawSchema)
@blueprint.response(200, ContractDetailSchema)
def withdraw_contract(body: dict[str, Any], contract_id: int) -> dict[str, Any]:
    """End a contract for good: its images are no longer shown, labelled or released."""
    rt = runtime()
    with rt.db.begin() as conn:
        contracts.withdraw(conn, contract_id, _own(conn), _me().id, body["reason"])
    rt.queue.nudge("upkeep")
    return _contract(contract_id)


@blueprint.route("/deliveries")
@whoever_handles
@blueprint.arguments(DeliveryListArgs, location="query")
@blueprint.response(200, paged(DeliverySchema))
def list_deliveries(query: dict[str, Any]) -> Page:
    """Deliveries, a supplier's own."""
    with runtime().db.read() as conn:
        rows = delivery_queries.listed(
            conn, supplier_id=_own(conn), after=query["cursor"] or 0, limit=query["limit"] + 1
        )
    return page(rows, query["limit"], lambda row: row.id)


@blueprint.route("/deliveries", methods=["POST"])
@whoever_delivers
@blueprint.arguments(NewDeliverySchema)
@blueprint.response(201, DeliveryDetailSchema)
def begin_delivery(body: dict[str, Any]) -> dict[str, Any]:
    """Begin a delivery; one of that name that the supplier began before is answered again."""
    with runtime().db.begin() as conn:
        new = NewDelivery(
            _supplier_named(body["supplier"]), body["name"], body["rights"], body["contract_id"]
        )
        found = deliveries.open_delivery(conn, new, _me().id, clock.now())
    return _delivery(found.id)


@blueprint.route("/deliveries/<int:delivery_id>")
@whoever_handles
@blueprint.response(200, DeliveryDetailSchema)
def show_delivery(delivery_id: int) -> dict[str, Any]:
    """A delivery, its steps, and what became of its files."""
    return _delivery(delivery_id)


@blueprint.route("/deliveries/<int:delivery_id>/files", methods=["POST"])
@whoever_delivers
@blueprint.arguments(FileSchema, location="files")
@blueprint.response(201, TakenFilesSchema)
def deliver_file(files: dict[str, Any], delivery_id: int) -> dict[str, Any]:
    """Hand in an image, or a zip of them; the same file again gets the same answer."""
    sent: FileStorage = files["file"]
    data = sent.stream.read()
    if not data:
        raise field_error("file", "the file is empty", code="unreadable")
    with runtime().db.read() as conn:
        delivery = deliveries.find(conn, delivery_id, _own(conn))
    if delivery.step is not Step.RECEIVED:
        raise Conflict("step", f"The delivery is {delivery.step} already; begin another one.")
    name = sent.filename or "unnamed"
    if data.startswith(ZIP_MAGIC):
        return {"files": _take_zip(delivery, data)}
    try:
        taken = service.take_upload(runtime(), data, _arrival(delivery, name), _me().id, again=True)
    except Unavailable:
        # Nothing was decided about the file: it is to be sent again.
        raise
    except Problem as problem:
        _note_refused(delivery, name, problem)
        raise
    return {"files": [{"file": name, **deliveries.as_told(taken)}]}


@blueprint.route("/deliveries/<int:delivery_id>/images")
@whoever_handles
@blueprint.arguments(DeliveryImageArgs, location="query")
@blueprint.response(200, paged(DeliveryImageSchema))
def list_delivery_images(query: dict[str, Any], delivery_id: int) -> Page:
    """A delivery's images with their findings, of one state or with one kind of finding if asked."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        deliveries.find(conn, delivery_id, _own(conn))
        rows = delivery_queries.images(
            conn,
            delivery_id,
            query["cursor"] or 0,
            limit + 1,
            among=deliveries.STATES_TOLD.get(query["state"], ()),
            code=query["code"],
        )
        found = delivery_queries.findings_of(conn, [row.id for row in rows])
    shown: Page = page(rows, limit, lambda row: row.id)
    shown["items"] = [_delivered(row, found.get(row.id, [])) for row in shown["items"]]
    return shown


@blueprint.route("/deliveries/<int:delivery_id>/steps", methods=["POST"])
@whoever_handles
@blueprint.arguments(MoveSchema)
@blueprint.response(200, DeliveryDetailSchema)
def move_delivery(body: dict[str, Any], delivery_id: int) -> dict[str, Any]:
    """Move a delivery to its next step; handed over, its images go to the labellers."""
    rt = runtime()
    with rt.db.begin() as conn:
        deliveries.find(conn, delivery_id, _own(conn))
        deliveries.move_on(conn, delivery_id, body["step"], _me(), body["reason"])
    if body["step"] is Step.HANDED_OVER:
        rt.queue.nudge("upkeep")
    return _delivery(delivery_id)


@blueprint.route("/deliveries/<int:delivery_id>/contract", methods=["POST"])
@whoever_refines
@blueprint.arguments(SettleSchema)
@blueprint.response(200, SettledImageSchema)
def settle_delivery(body: dict[str, Any], delivery_id: int) -> dict[str, Any]:
    """Put a delivery's held images under a contract; those held for their rights alone go to work."""
    released = deliveries.settle_rights(runtime(), delivery_id, body["contract_id"], _me(), body["reason"])
    return {"released": released}


@blueprint.route("/deliveries/<int:delivery_id>/report.csv")
@whoever_handles
@blueprint.response(200, content_type="text/csv")
def delivery_csv(delivery_id: int) -> Response:
    """What became of each file, one a line."""
    rt = runtime()
    with rt.db.read() as conn:
        deliveries.find(conn, delivery_id, _own(conn))
    response = Response(deliveries.report_csv(rt.db, delivery_id), mimetype="text/csv")
    response.headers["Content-Disposition"] = f"attachment; filename=delivery-{delivery_id}.csv"
    response.headers["Cache-Control"] = "private, no-store"
    return response


@blueprint.route("/deliveries/<int:delivery_id>/report")
@whoever_handles
@blueprint.response(200, content_type="text/html")
def delivery_page(delivery_id: int) -> Response:
    """What became of a delivery, as a page to read or print."""
    rt = runtime()
    shown = _delivery(delivery_id)
    rows = deliveries.report_rows(rt.db, delivery_id)
    text = render_template("delivery_report.html", delivery=shown, rows=_first(rows, 1000))
    response = Response(text, mimetype="text/html")
    response.headers["Cache-Control"] = "private, no-store"
    return response


def _me() -> Actor:
    return account_of(SUPPLIER, REFINER)


def _own(conn: Connection) -> int | None:
    """The supplier that the caller is confined to; None for refiners and admins. Raises Forbidden."""
    me = _me()
    if me.kind is not SUPPLIER:
        return None
    found = delivery_queries.supplier_of(conn, me.id)
    if found is None:
        raise Forbidden("no_supplier", "This account belongs to no supplier.")
    return int(found.id)


def _supplier_named(name: str | None) -> str:
    """The supplier that something is handed in for: a supplier's own, else the one that is named."""
    me = _me()
    if me.kind is SUPPLIER:
        with runtime().db.read() as conn:
            found = delivery_queries.supplier_of(conn, me.id)
        if found is None:
            raise Forbidden("no_supplier", "This account belongs to no supplier.")
        if name not in (None, found.name):
            raise field_error("supplier", f"This account hands in for {found.name}.")
        return str(found.name)
    if name is None:
        raise field_error("supplier", "Say whose it is.")
    return name.strip()


def _add_account(username: str, kind: AccountKind, supplier_id: int | None) -> dict[str, Any]:
    password = accounts.make_password()
    with runtime().db.begin() as conn:
        if supplier_id is not None and queries.supplier(conn, supplier_id) is None:
            raise NotFound("no_such_supplier", f"There is no supplier {supplier_id}.")
        person = tiers.join(conn, username, Grade.TRAINEE, by=actor(), password=password, kind=kind)
        if supplier_id is not None:
            delivery_queries.tie_person(conn, person.id, supplier_id)
        _, token = accounts.issue_token(conn, person.id)
    return {
        "id": person.id,
        "username": person.username,
        "kind": kind,
        "token": token,
        "password": password.text,
    }


def _contract(contract_id: int) -> dict[str, Any]:
    with runtime().db.read() as conn:
        found = contracts.find(conn, contract_id, _own(conn))
        return {**found._mapping, "events": contract_queries.events(conn, contract_id)}


def _delivery(delivery_id: int) -> dict[str, Any]:
    with runtime().db.read() as conn:
        found = deliveries.find(conn, delivery_id, _own(conn))
        return {
            **found._mapping,
            "steps": delivery_queries.steps(conn, delivery_id),
            "report": deliveries.report(conn, delivery_id),
        }


def _arrival(delivery: AnyRow, name: str) -> Delivery:
    return Delivery(
        delivery.supplier,
        name,
        delivery.rights,
        contract_id=delivery.contract_id,
        delivery_id=delivery.id,
        waiting=True,
    )


def _take_zip(delivery: AnyRow, data: bytes) -> list[dict[str, Any]]:
    rt = runtime()
    told: list[dict[str, Any]] = []
    with rt.storage.temporary(suffix=".zip") as archive:
        archive.write_bytes(data)
        try:
            source = open_source(archive, ZIP_LIMITS)
        except SourceError as problem:
            raise field_error("file", problem.detail.replace(str(archive), "the zip")) from None
        with source:
            for item in source:
                try:
                    sha256 = service.keep_original(rt, item.open())
                except Unavailable:
                    raise
                except Problem as problem:
                    _note_refused(delivery, item.name, problem)
                    told.append(_refused(item.name, problem.code, problem.detail))
                    continue
                with rt.db.begin() as conn:
                    taken = service.take_file(
                        conn, rt.policy, sha256, _arrival(delivery, item.name), _me().id
                    )
                shown = deliveries.as_told(taken)
                told.append({"file": item.name, **shown, "state": _pending(shown["state"])})
            passed_over = [(each["name"], each["code"], each["detail"]) for each in source.findings]
    with rt.db.begin() as conn:
        deliveries.note_refused(conn, delivery.id, passed_over, clock.now())
    told += [_refused(*each) for each in passed_over]
    rt.queue.nudge("images")
    return told


def _pending(state: str) -> str:
    return "pending" if state == "taken" else state


def _refused(name: str, code: str, detail: str) -> dict[str, Any]:
    finding = {"code": code, "detail": detail, "action": Action.REFUSE}
    return {"file": name, "image_id": None, "state": "refused", "known": False, "findings": [finding]}


def _note_refused(delivery: AnyRow, name: str, problem: Problem) -> None:
    rt = runtime()
    with rt.db.begin() as conn:
        refused = [(name, problem.code, problem.detail)]
        deliveries.note_refused(conn, delivery.id, refused, clock.now())


def _delivered(row: AnyRow, found: list[AnyRow]) -> dict[str, Any]:
    state = "pending" if row.pending else deliveries.state_told(row.state)
    sees = row.width is not None and _me().kind is not SUPPLIER
    return {
        **row._mapping,
        "path": deliveries.path_of(row),
        "state": state,
        "findings": found,
        "url": address_of(row.id, row.picture) if sees else None,
    }


def _download(key: str, name: str) -> Response:
    rt = runtime()
    mimetype = "application/octet-stream"
    if address := rt.storage.address(key, mimetype=mimetype, name=name):
        return redirect(address)  # type: ignore[return-value]
    # Never shown in the browser: it is what a stranger sent, unchanged.
    return send_file(rt.storage.root / key, mimetype=mimetype, as_attachment=True, download_name=name)


def _first(rows: Any, most: int) -> list[dict[str, str]]:
    return [row for row, _ in zip(rows, range(most), strict=False)]
