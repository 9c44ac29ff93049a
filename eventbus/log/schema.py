"""The log's tables as they are now; ``migrations`` brings any older database to this shape."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

ROW_NUMBER = BigInteger().with_variant(Integer, "sqlite")
"""Of a primary key: INTEGER is what makes it the number of the row in SQLite."""

# INTEGER PRIMARY KEY is SQLite's rowid, and every index ends with it: an index on ``type`` gives
# the events of a type in sequence order.
events = Table(
    "events",
    metadata,
    Column("sequence", ROW_NUMBER, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("time_us", BigInteger, nullable=False),
    Column("recorded_us", BigInteger, nullable=False),
    Column("correlationid", Text, nullable=False),
    Column("causationid", Text),
    Column("traceparent", Text),
    Column("dataschema", Text),
    Column("depth", Integer, nullable=False),
    Column("data", Text, nullable=False),
    Column("extensions", Text),
    # The idempotency key. The id comes first so that it also serves look-ups by id alone; time-
    # ordered ids keep it append-only.
    UniqueConstraint("id", "source", name="uq_events_id_source"),
)
ix_events_type = Index("ix_events_type", events.c.type)
ix_events_subject = Index("ix_events_subject", events.c.subject)
ix_events_time = Index("ix_events_time", events.c.time_us)
# The first event of a chain has its own id as correlation id and is found by that.
ix_events_correlation = Index(
    "ix_events_correlation",
    events.c.correlationid,
    sqlite_where=events.c.correlationid != events.c.id,
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", ROW_NUMBER, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("pattern", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("since_sequence", BigInteger, nullable=False),
    # Its deliveries stay in the log, and need its name: an unsubscribed one is only marked.
    Column("removed_us", BigInteger),
    # Since when nothing of it is handled, because somebody paused it.
    Column("paused_us", BigInteger),
    Column("paused_by", Text),
    Column("pause_reason", Text),
    sqlite_autoincrement=True,  # an id stands in old deliveries: it never gets a second owner
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("sequence", BigInteger, primary_key=True),
    Column("subscription", Integer, primary_key=True),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("due_us", BigInteger),
    Column("finished_us", BigInteger),
    Column("duration_us", BigInteger),
    Column("error_class", Text),
    Column("error_message", Text),
    sqlite_with_rowid=False,
)
# Only what is unfinished: it stays small however long the log grows, and gives recovery,
# catch-up, lag, retries and dead letters without touching the rest.
ix_deliveries_unfinished = Index(
    "ix_deliveries_unfinished",
    deliveries.c.subscription,
    deliveries.c.state,
    deliveries.c.sequence,
    sqlite_where=deliveries.c.state != "succeeded",
)

# Attempts that failed; the one that succeeded is the delivery's own row.
attempts = Table(
    "attempts",
    metadata,
    Column("sequence", BigInteger, primary_key=True),
    Column("subscription", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("started_us", BigInteger, nullable=False),
    Column("duration_us", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("error_class", Text),
    Column("error_message", Text),
    Column("traceback", Text),
    sqlite_with_rowid=False,
)
ix_attempts_subscription = Index("ix_attempts_subscription", attempts.c.subscription)

# What a person did to many deliveries at once: redrive, discard, replay.
operations = Table(
    "operations",
    metadata,
    Column("id", ROW_NUMBER, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("selection", Text, nullable=False),  # JSON
    Column("requested_by", Text, nullable=False),
    Column("reason", Text),
    Column("rate", Float),
    Column("total", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("skipped", BigInteger, nullable=False),
    # A replay has dealt with the events up to here; the others select what died up to this time.
    Column("position", BigInteger, nullable=False),
    Column("started_us", BigInteger, nullable=False),
    Column("finished_us", BigInteger),
    Column("stopped_by", Text),
    Column("error", Text),
    Column("event_id", Text, nullable=False),  # of the event that told of its start
)

# What operations did to one delivery, and what it was before; redrive and replay begin a round.
interventions = Table(
    "interventions",
    metadata,
    Column("sequence", BigInteger, primary_key=True),
    Column("subscription", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("operation", Integer, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("state", Text),  # before; None when it had not been delivered to this subscription
    Column("attempt", Integer, nullable=False),  # that had ended in the round before
    Column("failures", Integer, nullable=False),  # rows of ``attempts`` by then, of all rounds
    Column("finished_us", BigInteger),
    Column("duration_us", BigInteger),
    sqlite_with_rowid=False,
)
ix_interventions_operation = Index("ix_interventions_operation", interventions.c.operation)

# Beside the events and not among them: what is not due has no sequence yet, and the hot table
# needs no further column for it.
scheduled = Table(
    "scheduled",
    metadata,
    Column("number", ROW_NUMBER, primary_key=True),
    Column("due_us", BigInteger, nullable=False),
    Column("id", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("time_us", BigInteger, nullable=False),
    Column("correlationid", Text, nullable=False),
    Column("causationid", Text),
    Column("traceparent", Text),
    Column("dataschema", Text),
    Column("depth", Integer, nullable=False),
    Column("data", Text, nullable=False),
    Column("extensions", Text),
    UniqueConstraint("id", "source", name="uq_scheduled_id_source"),
)
ix_scheduled_due = Index("ix_scheduled_due", scheduled.c.due_us)

# What retention has removed, by type: how many events and payloads, and the newest of them.
# ``events_upto`` is the newest of the events alone: whoever reads on from before it misses some.
removals = Table(
    "removals",
    metadata,
    Column("type", Text, primary_key=True),
    Column("events", BigInteger, nullable=False),
    Column("payloads", BigInteger, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    Column("events_upto", BigInteger, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)

# How many dead letters there are, so that nobody has to count them: of which type, at which
# subscription, of which error ("" for none), and when the newest of them died.
dead_letters = Table(
    "dead_letters",
    metadata,
    Column("subscription", Integer, primary_key=True),
    Column("type", Text, primary_key=True),
    Column("error_class", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("newest_us", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# What flowed where, counted by minute, hour and day behind the log (log/flow.py). An edge is a
# type that was recorded, or that a subscription handled, or what that caused; 0 and "" for none.
flow_edges = Table(
    "flow_edges",
    metadata,
    Column("id", ROW_NUMBER, primary_key=True),
    Column("type", Text, nullable=False),
    Column("subscription", Integer, nullable=False),
    Column("caused", Text, nullable=False),
    Column("last_s", BigInteger, nullable=False),  # the newest minute in which anything was
    UniqueConstraint("type", "subscription", "caused", name="uq_flow_edges"),
)
flow_counts = Table(
    "flow_counts",
    metadata,
    Column("length_s", Integer, primary_key=True),
    Column("start_s", BigInteger, primary_key=True),
    Column("edge", Integer, primary_key=True),
    Column("measure", Integer, primary_key=True),
    Column("count", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
# Up to where each subscription's deliveries are counted; 0 is for the events themselves.
flow_positions = Table(
    "flow_positions",
    metadata,
    Column("subscription", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, nullable=False),
)
# Deliveries below those positions that were not finished then, with the attempts counted so far.
flow_open = Table(
    "flow_open",
    metadata,
    Column("sequence", BigInteger, primary_key=True),
    Column("subscription", Integer, primary_key=True),
    Column("attempts", Integer, nullable=False),
    Column("version", Integer, nullable=False),  # grows when it begins a new round
    sqlite_with_rowid=False,
)

schema_versions = Table(
    "schema_versions",
    metadata,
    Column("component", Text, primary_key=True),
    Column("version", Integer, nullable=False),
)

# What the API declared about event types; what code and files declare is not kept here.
declarations = Table(
    "declarations",
    metadata,
    Column("type", Text, primary_key=True),
    Column("declaration", Text, nullable=False),  # JSON
    Column("declared_us", BigInteger, nullable=False),
    Column("declared_by", Text, nullable=False),
    sqlite_with_rowid=False,
)
