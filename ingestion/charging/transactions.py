"""StartTransaction, its answer and StopTransaction become the two versions of a transaction.

A 1.6 transaction has its number from the answer to its start, found by connection and message id. Stations repeat a
start whose answer got lost, stop with -1 what they started offline, or never stop at all. What is open at the end of a
page is carried to the next in a ``Book``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import polars as pl

from core.schema import INSTANT
from ingestion.charging.messages import OFFLINE_IDS
from ingestion.charging.meter_values import LABEL_RATIO, LEAST_EVIDENCE_KWH
from ingestion.columns import REJECTED, Check, check, said
from ingestion.providers.base import RECORD

ORDER: Final = "order"
CARRIED: Final = -1  # what an earlier page brought comes before all records of this one
PATIENCE: Final = timedelta(days=1)  # a start that nobody answered for so long was asked again on another connection
KEY: Final = ("station_id", "connector_id", "first_id", "started_at")
ENTRY_REST: Final = ("first_id", "started_at", "meter_start_kwh", "is_ended", "connector_id", "token")
EXCHANGE: Final = ("station_id", "connection_id", "uid")
UNANSWERED: Final = pl.Schema(
    {
        "station_id": pl.String(),
        "connection_id": pl.String(),
        "uid": pl.String(),
        "connector_id": pl.Int64(),
        "token": pl.String(),
        "meter_start_kwh": pl.Float64(),
        "started_at": INSTANT,
        "at": INSTANT,
    }
)
ENTRY: Final = pl.Schema(
    {
        "station_id": pl.String(),
        "connector_id": pl.Int64(),
        "transaction_id": pl.String(),
        "first_id": pl.String(),
        "started_at": INSTANT,
        "token": pl.String(),
        "meter_start_kwh": pl.Float64(),
        "is_ended": pl.Boolean(),
    }
)
EVIDENCE: Final = pl.Schema(
    {
        "station_id": pl.String(),
        "connector_id": pl.Int64(),
        "first_id": pl.String(),
        "started_at": INSTANT,
        "soc_first_pct": pl.Float64(),
        "soc_last_pct": pl.Float64(),
        "register_last_kwh": pl.Float64(),
        "power_last_kw": pl.Float64(),
        "power_kwh": pl.Float64(),
        "sampled_at": INSTANT,
    }
)
STOP_CHECKS: Final = (
    Check(
        "stop_without_start",
        pl.col("first_id").is_null(),
        said("transaction {} of {} was not started in what we have read", "transaction_id", "station_id"),
    ),
    Check(
        "stop_before_start",
        pl.col("observed_at") < pl.col("started_at"),
        said("stopped at {}, started at {}", "observed_at", "started_at"),
        field="observed_at",
    ),
    Check(
        "register_went_back",
        pl.col("energy_kwh") < 0,
        said("from {} to {} kWh", "meter_start_kwh", "meter_end_kwh"),
        field="energy_kwh",
    ),
    Check(
        "kwh_labelled_wh",
        (pl.col("power_kwh") > LEAST_EVIDENCE_KWH) & (pl.col("energy_kwh") * LABEL_RATIO < pl.col("power_kwh")),
        said("{} kWh by the register, {} kWh by the power drawn", "energy_kwh", "power_kwh"),
        field="energy_kwh",
    ),
)


@dataclass(frozen=True, slots=True)
class Book:
    """What is known of transactions at the end of a page.

    Attributes:
        unanswered: Starts that were not answered yet.
        entries: Transactions, once per number they were given; ``first_id`` is the number that counts.
        evidence: What meters said of each transaction so far.
    """

    unanswered: pl.DataFrame
    entries: pl.DataFrame
    evidence: pl.DataFrame

    @classmethod
    def from_carry(cls, carry: Mapping[str, Any]) -> "Book":
        """Read what ``to_carry`` made; an empty carry is an empty book."""
        schemas = {"unanswered": UNANSWERED, "entries": ENTRY, "evidence": EVIDENCE}
        return cls(**{name: _thawed(carry.get(name, []), schema) for name, schema in schemas.items()})

    def to_carry(self) -> dict[str, Any]:
        """Return the book as small JSON."""
        tables = {"unanswered": self.unanswered, "entries": self.entries, "evidence": self.evidence}
        return {
            name: table.with_columns(pl.col(INSTANT).dt.to_string("iso")).to_dicts() for name, table in tables.items()
        }


def _thawed(rows: list[dict[str, Any]], schema: pl.Schema) -> pl.DataFrame:
    text = {name: pl.String() if dtype == INSTANT else dtype for name, dtype in schema.items()}
    instants = [name for name, dtype in schema.items() if dtype == INSTANT]
    stamp = pl.col(instants).str.to_datetime(time_unit="us", time_zone="UTC")
    return pl.DataFrame(rows, schema=text).with_columns(stamp)


def number_starts(book: Book, starts: pl.DataFrame, answers: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give starts the number of their answer: the next one with their message id on their connection.

    Args:
        book: What earlier pages left.
        starts: Starts of this page, with ``RECORD``, the columns of ``UNANSWERED`` and ``observed_at``.
        answers: Answers of this page.

    Returns:
        Entries (``ENTRY`` and ``RECORD``, ``ORDER``, ``known_at``) of all transactions known now, in order; and the
        starts that are still unanswered, with ``RECORD`` where they are of this page.
    """
    waiting = book.unanswered.with_columns(pl.lit(None, pl.Int64).alias(RECORD), pl.lit(CARRIED, pl.Int64).alias(ORDER))
    asked = pl.concat([waiting, starts.select(*UNANSWERED, RECORD, pl.col(RECORD).alias(ORDER))])
    given = answers.select(*EXCHANGE, "transaction_id", pl.col("at").alias("known_at"), pl.col(RECORD).alias("answer"))
    joined = asked.sort(ORDER).join_asof(
        given.sort("answer"), left_on=ORDER, right_on="answer", by=EXCHANGE, strategy="forward", check_sortedness=False
    )
    numbered = joined.filter(pl.col("transaction_id").is_not_null(), ~pl.col("transaction_id").is_in(OFFLINE_IDS))
    fresh = numbered.with_columns(
        pl.coalesce(RECORD, "answer").alias(RECORD), first_id="transaction_id", is_ended=pl.lit(value=False)
    )
    known = book.entries.with_columns(
        pl.lit(None, pl.Int64).alias(RECORD), pl.lit(CARRIED, pl.Int64).alias(ORDER), known_at=pl.lit(None, INSTANT)
    )
    columns = [*ENTRY, RECORD, ORDER, "known_at"]
    entries = pl.concat([known.select(columns), fresh.select(columns)]).with_columns(
        pl.col("first_id").first().over("station_id", "connector_id", "started_at")
    )
    return entries, joined.filter(pl.col("transaction_id").is_null()).select(*UNANSWERED, RECORD)


def is_repeated() -> pl.Expr:
    """Say of an entry whether an earlier one stands for the same transaction."""
    return ~pl.struct(KEY).is_first_distinct()


def start_versions(entries: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the version of each transaction that began in this page, and the repeated starts."""
    is_new = pl.col("known_at").is_not_null()
    repeated = entries.filter(is_repeated()).filter(is_new)
    began = entries.filter(~is_repeated()).filter(is_new)
    versions = began.select(
        RECORD,
        *_named_by_key(),
        "token",
        "meter_start_kwh",
        observed_at="started_at",
        available_at="known_at",
    )
    detail = said("{} of {} was told before", "transaction_id", "station_id")
    return versions, _remarks(repeated, "duplicate_start", detail)


def _remarks(rows: pl.DataFrame, reason: str, detail: pl.Expr) -> pl.DataFrame:
    """Return a remark on records that give no row of their own and are no less trusted for it."""
    return rows.select(
        RECORD,
        entity=pl.lit("charging_transaction"),
        reason=pl.lit(reason),
        detail=detail,
        field_only=pl.lit(value=True),
    ).cast(REJECTED)


def _named_by_key() -> list[pl.Expr]:
    return [
        pl.col("station_id"),
        pl.col("connector_id"),
        pl.col("first_id").alias("transaction_id"),
        pl.col("started_at"),
    ]


def attributed(messages: pl.DataFrame, entries: pl.DataFrame) -> pl.DataFrame:
    """Add ``first_id``, ``started_at`` and the rest of the entry that messages with ``transaction_id`` speak of.

    A number that was used twice stands for the transaction that was numbered last before the message.
    """
    added = [name for name in ENTRY_REST if name not in messages.columns]
    known = entries.sort(ORDER).select("station_id", "transaction_id", ORDER, *added)
    return messages.sort(RECORD).join_asof(
        known,
        left_on=RECORD,
        right_on=ORDER,
        by=["station_id", "transaction_id"],
        strategy="backward",
        check_sortedness=False,
    )


def match_stops(stops: pl.DataFrame, entries: pl.DataFrame) -> pl.DataFrame:
    """Return stops with their entries; one with a number for "none" belongs to the only transaction open there."""
    offline = pl.col("transaction_id").is_in(OFFLINE_IDS)
    numbered = attributed(stops.filter(~offline), entries)
    open_then = _only_open(stops.filter(offline), entries, numbered)
    unnumbered = stops.filter(offline).join(open_then, on=RECORD, how="left", maintain_order="left")
    return pl.concat([numbered, unnumbered], how="diagonal_relaxed").sort(RECORD)


def _only_open(stops: pl.DataFrame, entries: pl.DataFrame, numbered: pl.DataFrame) -> pl.DataFrame:
    """Return, for stops before which a single transaction was open at their station, that transaction."""
    begun = stops.select(RECORD, "station_id").join(entries.filter(~is_repeated()).drop(RECORD), on="station_id")
    last = (
        begun.filter(pl.col(ORDER) < pl.col(RECORD))
        .sort(RECORD, ORDER, "started_at")
        .unique([RECORD, "connector_id"], keep="last", maintain_order=True)
    )
    ended = numbered.drop_nulls("first_id").select(*KEY, ended_by=RECORD).unique(KEY, keep="first", maintain_order=True)
    still = last.filter(~pl.col("is_ended")).join(ended, on=KEY, how="left", maintain_order="left")
    open_then = still.filter((pl.col("ended_by") > pl.col(RECORD)).fill_null(value=True))
    return open_then.filter(pl.len().over(RECORD) == 1).select(RECORD, *ENTRY_REST)


def end_versions(stops: pl.DataFrame, evidence: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the versions of transactions that stops of this page ended, and what was rejected.

    Args:
        stops: Stops with their entries (``match_stops``), ``observed_at`` and ``at``.
        evidence: What meters said of the transactions (schema ``EVIDENCE``).
    """
    ended_before = pl.col("first_id").is_not_null() & (pl.col("is_ended") | is_repeated())
    again = _remarks(stops.filter(ended_before), "duplicate_stop", said("{} has ended before", "transaction_id"))
    metered = stops.filter(~ended_before).join(evidence, on=KEY, how="left", maintain_order="left")
    energy = metered.with_columns(energy_kwh=pl.col("meter_end_kwh") - pl.col("meter_start_kwh"))
    kept, rejected = check(energy, STOP_CHECKS, entity="charging_transaction")
    ended_at = pl.coalesce("observed_at", pl.max_horizontal("at", "started_at"))
    versions = kept.select(
        RECORD,
        *_named_by_key(),
        "token",
        "meter_start_kwh",
        "meter_end_kwh",
        "energy_kwh",
        pl.col("soc_first_pct").alias("soc_start_pct"),
        pl.col("soc_last_pct").alias("soc_end_pct"),
        pl.col("reason").alias("stop_reason"),
        ended_at=ended_at,
        observed_at=ended_at,
        available_at="at",
        is_estimated=pl.lit(value=False),
    )
    return versions, pl.concat([again, rejected])


def unstopped_versions(
    entries: pl.DataFrame, stops: pl.DataFrame, evidence: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return an estimated end for transactions whose stop never came: another has started on the connector.

    It ended when the meter last spoke of it, at the latest when the next one began.
    """
    following = pl.col("started_at", "known_at", RECORD).shift(-1)
    once = entries.filter(~is_repeated()).with_columns(
        following.over("station_id", "connector_id", order_by="started_at").name.prefix("next_")
    )
    left_open = (
        once.filter(~pl.col("is_ended"), pl.col("next_record").is_not_null())
        .join(stops.drop_nulls("first_id"), on=KEY, how="anti", maintain_order="left")
        .join(evidence, on=KEY, how="left", maintain_order="left")
    )
    energy = pl.col("register_last_kwh") - pl.col("meter_start_kwh")
    ended_at = pl.min_horizontal(pl.coalesce("sampled_at", "next_started_at"), "next_started_at")
    versions = left_open.select(
        pl.col("next_record").alias(RECORD),
        *_named_by_key(),
        "token",
        "meter_start_kwh",
        pl.col("register_last_kwh").alias("meter_end_kwh"),
        pl.col("soc_first_pct").alias("soc_start_pct"),
        pl.col("soc_last_pct").alias("soc_end_pct"),
        energy_kwh=pl.when(energy >= 0).then(energy),
        ended_at=ended_at,
        observed_at=ended_at,
        available_at=pl.col("next_known_at"),
        is_estimated=pl.lit(value=True),
        stop_reason=pl.lit("no stop received"),
    )
    remarked = left_open.with_columns(pl.col("next_record").alias(RECORD))
    return versions, _remarks(remarked, "missing_stop", said("{} of {} was never stopped", "first_id", "station_id"))


def gathered(evidence: pl.DataFrame, meter_rows: pl.DataFrame) -> pl.DataFrame:
    """Return the evidence with this page's meter rows added.

    Args:
        evidence: From earlier pages (schema ``EVIDENCE``).
        meter_rows: ``KEY``, ``observed_at``, ``soc_pct``, ``energy_register_kwh``, ``power_kw``.
    """
    earlier = evidence.select(
        *KEY,
        observed_at="sampled_at",
        soc_pct="soc_last_pct",
        energy_register_kwh="register_last_kwh",
        power_kw="power_last_kw",
    )
    columns = [*KEY, "observed_at", "soc_pct", "energy_register_kwh", "power_kw"]
    points = pl.concat([earlier, meter_rows.drop_nulls("first_id").select(columns)]).sort(*KEY, "observed_at")
    hours = (pl.col("observed_at").diff().over(KEY).dt.total_seconds() / 3600).clip(0, 1)
    summed = (
        points.with_columns(step_kwh=pl.col("power_kw").shift(1).over(KEY) * hours)
        .group_by(KEY, maintain_order=True)
        .agg(
            soc_first_pct=pl.col("soc_pct").drop_nulls().first(),
            soc_last_pct=pl.col("soc_pct").drop_nulls().last(),
            register_last_kwh=pl.col("energy_register_kwh").drop_nulls().last(),
            power_last_kw=pl.col("power_kw").last(),
            power_kwh=pl.col("step_kwh").sum(),
            sampled_at=pl.col("observed_at").last(),
        )
        .join(
            evidence.select(*KEY, "soc_first_pct", "power_kwh"),
            on=KEY,
            how="left",
            suffix="_earlier",
            maintain_order="left",
        )
    )
    return summed.with_columns(
        soc_first_pct=pl.coalesce("soc_first_pct_earlier", "soc_first_pct"),
        power_kwh=pl.col("power_kwh") + pl.col("power_kwh_earlier").fill_null(0),
    ).select(EVIDENCE.names())


def closed(entries: pl.DataFrame, ended: pl.DataFrame, unanswered: pl.DataFrame, evidence: pl.DataFrame) -> Book:
    """Return the book that the next page starts from: of each connector what is open, and its last transaction.

    Args:
        entries: All transactions known now.
        ended: Versions that ended some of them in this page.
        unanswered: Starts that wait.
        evidence: What meters said so far.
    """
    ends = ended.select(
        "station_id", "connector_id", "started_at", first_id="transaction_id", ended=pl.lit(value=True)
    ).unique()
    marked = entries.join(ends, on=KEY, how="left", maintain_order="left").with_columns(
        is_ended=pl.col("is_ended") | pl.col("ended").fill_null(value=False)
    )
    last = pl.col("started_at") == pl.col("started_at").max().over("station_id", "connector_id")
    kept = marked.filter(~pl.col("is_ended") | last).select(ENTRY.names())
    of_kept = evidence.join(kept.filter(~pl.col("is_ended")), on=KEY, how="semi", maintain_order="left")
    waiting = unanswered.filter(pl.col("at") > pl.col("at").max() - PATIENCE).select(UNANSWERED.names())
    return Book(waiting, kept, of_kept)
