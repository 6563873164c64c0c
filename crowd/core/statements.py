"""Statements of the hot path: built once, compiled once, and run on the driver's own cursor.

SQLAlchemy takes longer over a statement than the driver does, even over one that it has compiled before,
and a claim with its answer runs about twenty. docs/decisions/0007-statements-compiled-once.md has figures.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.sql.compiler import SQLCompiler

Values: TypeAlias = Mapping[str, Any]
AnyResult: TypeAlias = sa.Result[*tuple[Any, ...]]
_Processor: TypeAlias = Callable[[Any], Any]


class Statement:
    """A SELECT, INSERT or UPDATE whose parameters are always given by the same names."""

    def __init__(self, construct: Any) -> None:
        self.construct = construct
        self._texts: dict[tuple[object, ...], _Text] = {}
        self._lists = _list_parameters(construct)

    def run(self, conn: Connection, values: Values) -> AnyResult:
        """What it returns, read to the end. Raises what `conn.execute` would."""
        text = self._text(conn, values)
        cursor = text.execute(conn, values)
        try:
            rows = cursor.fetchall()
        except BaseException as error:
            # As SQLAlchemy's own results do: some errors come only while rows are read.
            conn._handle_dbapi_exception(error, None, None, cursor, None)
        cursor.close()
        return IteratorResult(text.columns, iter(rows))

    def change(self, conn: Connection, values: Values) -> int:
        """How many rows it has written. Raises what `conn.execute` would."""
        cursor = self._text(conn, values).execute(conn, values)
        rows: int = cursor.rowcount
        cursor.close()
        return rows

    def _text(self, conn: Connection, values: Values) -> "_Text":
        # A list is as many parameters as it has values, hence another text.
        key = (conn.dialect.name, *(len(values[name]) for name in self._lists))
        found = self._texts.get(key)
        if found is None:
            found = self._texts[key] = _Text(self.construct, conn.dialect, values)
        return found


class _Text:
    """A statement's text for one dialect, and how its values go in and its rows come out."""

    def __init__(self, construct: Any, dialect: Dialect, values: Values) -> None:
        keys = list(values) if construct.is_insert else None
        compiled = construct.compile(dialect=dialect, column_keys=keys)
        state = compiled.construct_expanded_state(dict(values))
        self._sql = state.statement
        self._order = state.positiontup
        spread = state.parameter_expansion
        self._lists = {name: spread[name] for name in spread if name in values}
        self._processors = _bind_processors(compiled, dialect, spread)
        given = set(values).union(*self._lists.values())
        self._fixed = {
            name: self._kept(name, value) for name, value in state.parameters.items() if name not in given
        }
        self.columns = _columns(construct, dialect)

    def execute(self, conn: Connection, values: Values) -> Any:
        """The cursor after running it with `values`."""
        assert conn.in_transaction(), "transactions open at the edges"
        parameters = self._parameters(values)
        connection = conn.connection
        try:
            cursor = connection.cursor()
        except BaseException as error:
            conn._handle_dbapi_exception(error, self._sql, parameters, None, None)
        # Not the driver's own `execute`: this one tells listeners, translates errors, and lets go of a
        # connection that broke.
        conn._cursor_execute(cursor, self._sql, parameters)
        return cursor

    def _parameters(self, values: Values) -> Any:
        parameters = dict(self._fixed)
        for name, value in values.items():
            if name in self._lists:
                parameters.update(
                    (each, self._kept(each, one)) for each, one in zip(self._lists[name], value, strict=True)
                )
            else:
                parameters[name] = self._kept(name, value)
        return parameters if self._order is None else tuple(parameters[name] for name in self._order)

    def _kept(self, name: str, value: Any) -> Any:
        processor = self._processors.get(name)
        return value if processor is None else processor(value)


def _list_parameters(construct: Any) -> list[str]:
    """The names whose values are lists, for an IN, and are given at each run."""
    binds = (each for each in sa.sql.visitors.iterate(construct) if isinstance(each, sa.BindParameter))
    return sorted({bind.key for bind in binds if bind.expanding and bind.required})


def _bind_processors(
    compiled: SQLCompiler, dialect: Dialect, expansion: Mapping[str, Sequence[str]]
) -> dict[str, _Processor]:
    found: dict[str, _Processor] = {}
    for name, bind in compiled.binds.items():
        processor = bind.type.dialect_impl(dialect).bind_processor(dialect)
        if processor is not None:
            found |= dict.fromkeys(expansion.get(name, [name]), processor)
    return found


def _columns(construct: Any, dialect: Dialect) -> SimpleResultMetaData:
    columns = list(construct.exported_columns)
    processors = [
        each.type.dialect_impl(dialect).result_processor(dialect, _number_of(each.type)) for each in columns
    ]
    return SimpleResultMetaData([each.name for each in columns], _processors=processors)


def _number_of(kind: sa.types.TypeEngine[Any]) -> int | None:
    # PostgreSQL's number of double precision: for numbers alone does SQLAlchemy ask what the driver gives.
    return 701 if isinstance(kind, sa.Float) else None
