"""The fleet's database: roll-outs, their record, and what was last heard of each site. SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from agent.errors import StoreError

_VERSION = 1
# How long a writer waits for another one.
_PATIENCE_S = 30
_WRITES = "trimload_writes"


class Instant(sa.types.TypeDecorator[datetime]):
    """UTC as text: the two databases disagree on what a time stamp with a zone is."""

    impl = sa.String(40)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> str | None:
        """To the database."""
        del dialect
        return None if value is None else value.astimezone(UTC).isoformat()

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> datetime | None:
        """From the database."""
        del dialect
        return None if value is None else datetime.fromisoformat(value)


metadata = sa.MetaData()
about = sa.Table("trimload_fleet", metadata, sa.Column("version", sa.Integer, nullable=False))
rollouts = sa.Table(
    "rollout",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("phase", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("since_at", Instant),
    sa.Column("begun_at", Instant, nullable=False),
    sa.Column("ring", sa.Integer, nullable=False),
    sa.Column("passed_at", Instant),
    sa.Column("approved", sa.Integer, nullable=False),
)
rollout_sites = sa.Table(
    "rollout_site",
    metadata,
    sa.Column("rollout", sa.ForeignKey("rollout.id"), primary_key=True),
    sa.Column("site", sa.String(120), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    # Whether the roll-out still has the site to itself.
    sa.Column("holds", sa.Boolean, nullable=False),
    sa.Column("ring", sa.Integer, nullable=False),
    sa.Column("targets", sa.String(120), nullable=False),
    sa.Column("wish", sa.String(16), nullable=False),
    sa.Column("given_at", Instant),
    sa.Column("state", sa.String(16)),
    sa.Column("state_at", Instant),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("share", sa.Float, nullable=False),
    sa.Column("verdict", sa.String(8), nullable=False),
)
sa.Index(
    "one_rollout_per_site_and_kind",
    rollout_sites.c.site,
    rollout_sites.c.kind,
    unique=True,
    sqlite_where=rollout_sites.c.holds,
    postgresql_where=rollout_sites.c.holds,
)
# An agent release is the same for all its sites: its files are kept once.
rollout_targets = sa.Table(
    "rollout_targets",
    metadata,
    sa.Column("rollout", sa.ForeignKey("rollout.id"), primary_key=True),
    sa.Column("key", sa.String(120), primary_key=True),
    sa.Column("targets", sa.Text, nullable=False),
)
rollout_events = sa.Table(
    "rollout_event",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("rollout", sa.ForeignKey("rollout.id"), nullable=False, index=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("who", sa.String(120), nullable=False),
    sa.Column("what", sa.Text, nullable=False),
)
sites = sa.Table(
    "site",
    metadata,
    sa.Column("id", sa.String(120), primary_key=True),
    sa.Column("online", sa.Boolean),
    sa.Column("online_since_at", Instant),
    sa.Column("heard_at", Instant),
    sa.Column("standing", sa.Text, nullable=False),
    sa.Column("modes", sa.Text, nullable=False),
    sa.Column("alarms", sa.Text, nullable=False),
    sa.Column("telemetry_at", Instant),
    sa.Column("savings", sa.Text, nullable=False),
    sa.Column("savings_at", Instant),
)


class FleetDatabase:
    """One database, opened. `writing` takes its turn among writers; `reading` sees one consistent state."""

    def __init__(self, engine: sa.Engine) -> None:
        # A page is of one moment; writers take turns by a lock, and then want what the last one wrote.
        sqlite = engine.dialect.name == "sqlite"
        self._reader = engine if sqlite else engine.execution_options(isolation_level="REPEATABLE READ")
        self._writer = engine.execution_options(**{_WRITES: True})

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """All of it, or nothing. Raises StoreError where the database does not answer."""
        with _told(str(self._reader.url)), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Raises StoreError where the database does not answer."""
        with _told(str(self._reader.url)), self._reader.connect() as connection:
            yield connection

    def close(self) -> None:
        """Give its connections back."""
        self._reader.dispose()


def open_database(place: str) -> FleetDatabase:
    """A file's path, or an URL as SQLAlchemy reads it: `postgresql+psycopg://user@host/fleet`. Made where it is not.

    Raises StoreError.
    """
    url = place if "://" in place else f"sqlite:///{Path(place).absolute()}"
    with _told(place):
        address = sa.make_url(url)
        if address.get_backend_name() == "sqlite":
            engine = sa.create_engine(address, connect_args={"timeout": _PATIENCE_S})
            sa.event.listen(engine, "connect", _prepare_sqlite)
            sa.event.listen(engine, "begin", _begin_sqlite)
        else:
            engine = sa.create_engine(address, pool_pre_ping=True)
        database = FleetDatabase(engine)
        with database.writing() as connection:
            if engine.dialect.name == "postgresql":
                # Two that begin at once must not both make the tables. The number is ours, and means nothing.
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7410265)"))
            metadata.create_all(connection)
            version = connection.execute(sa.select(about.c.version)).scalar()
            if version is None:
                connection.execute(about.insert().values(version=_VERSION))
            elif version != _VERSION:
                raise StoreError(
                    f"it is of version {version}, this trimload-fleet reads {_VERSION}",
                    where=place,
                    fix="use the trimload-fleet that made it, or begin another database",
                )
    return database


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # SQLAlchemy says when a transaction begins, not the driver.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A reader that turns into a writer half-way is refused when another one wrote meanwhile.
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _told(place: str) -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        # A rule of ours was broken, not the database.
        raise
    except (SQLAlchemyError, ModuleNotFoundError) as error:
        cause = str(getattr(error, "orig", None) or error).strip().split("\n")[0]
        raise StoreError(
            f"the fleet's database does not answer: {cause}",
            where=place,
            fix="name a file that can be written, or postgresql+psycopg://USER@HOST/DATABASE",
        ) from error
