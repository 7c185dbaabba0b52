"""From a folder of files to a frozen ``Registry``, or to one error that holds every mistake."""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from core.time_grid import local_instant
from ingestion.registry.files import KeyPath, RawEntry, UnreadableFileError, read_csv, read_xlsx, read_yaml
from ingestion.registry.mistakes import ConfigurationError, Mistake
from ingestion.registry.models import Assignment, Connector, Duty, Entry, Site, Source, Token, Vehicle

E = TypeVar("E", bound=Entry)

SECRET_PARTS = frozenset({"token", "credentials", "bridge"})  # values below these are never repeated in a message
LOCAL_TIMES = ("valid_from", "valid_to", "planned_departure", "planned_return")


@dataclass(frozen=True, slots=True)
class Located(Generic[E]):
    """A valid entry and where it stands."""

    entry: E
    raw: RawEntry


@dataclass(frozen=True, slots=True)
class Section(Generic[E]):
    """The entries of one file: those that are valid, the names of all, and the mistakes of the rest.

    ``names`` holds the identifiers of invalid entries too, so that one mistake does not make others out of every
    reference to it.
    """

    located: Sequence[Located[E]] = ()
    names: frozenset[str] = frozenset()
    mistakes: Sequence[Mistake] = ()

    @property
    def entries(self) -> tuple[E, ...]:
        """The valid entries."""
        return tuple(located.entry for located in self.located)


@dataclass(frozen=True, slots=True)
class Folder:
    """All sections of a configuration folder."""

    sites: Section[Site]
    sources: Section[Source]
    connectors: Section[Connector]
    vehicles: Section[Vehicle]
    tokens: Section[Token]
    assignments: Section[Assignment]
    duties: Section[Duty]

    @property
    def mistakes(self) -> list[Mistake]:
        """The mistakes that single entries and files have."""
        sections = (self.sites, self.sources, self.connectors, self.vehicles)
        dated = (self.tokens, self.assignments, self.duties)
        return [mistake for section in (*sections, *dated) for mistake in section.mistakes]


def read_folder(folder: Path) -> Folder:
    """Read and validate every file on its own; times without a zone are local to the site that they belong to.

    Raises:
        ConfigurationError: there is no such folder.
    """
    if not folder.is_dir():
        hint = "Let `depotwise init` write a commented starter there, or set DEPOTWISE_CONFIG"
        raise ConfigurationError([Mistake(folder.name, 1, "", "there is no such configuration folder", hint)])
    sites = _section(Site, "site_id", lambda: read_yaml(folder / "sites.yaml", "sites"))
    vehicles = _section(Vehicle, "vehicle_id", lambda: read_csv(folder / "vehicles.csv"))
    zones = {site.site_id: site.timezone for site in sites.entries}
    homes = {vehicle.vehicle_id: zones.get(vehicle.site_id, "UTC") for vehicle in vehicles.entries}
    sources = _section(Source, "source_id", lambda: _absolute(read_yaml(folder / "sources.yaml", "sources"), folder))
    return Folder(
        sites=sites,
        sources=sources,
        connectors=_section(Connector, "station_id", lambda: read_csv(folder / "connectors.csv")),
        vehicles=vehicles,
        tokens=_section(Token, "token", lambda: _local(_optional_csv(folder / "tokens.csv"), homes, "vehicle_id")),
        assignments=_section(
            Assignment, "vehicle_id", lambda: _local(_optional_csv(folder / "assignments.csv"), homes, "vehicle_id")
        ),
        duties=_section(Duty, "block_id", lambda: _local(_read_duties(folder), zones, "site_id")),
    )


def _optional_csv(path: Path) -> list[RawEntry]:
    return read_csv(path) if path.exists() else []


def _read_duties(folder: Path) -> list[RawEntry]:
    as_csv, as_xlsx = folder / "duties.csv", folder / "duties.xlsx"
    if as_csv.exists() and as_xlsx.exists():
        problem = "there is a duties.csv and a duties.xlsx"
        raise UnreadableFileError(Mistake(as_xlsx.name, 1, "", problem, "Keep the one that dispatch maintains"))
    return read_xlsx(as_xlsx) if as_xlsx.exists() else _optional_csv(as_csv)


def _absolute(entries: list[RawEntry], folder: Path) -> list[RawEntry]:
    """Return sources whose paths, relative to the folder, are absolute."""
    return [
        replace(entry, values={**entry.values, "path": (folder / path).resolve()})
        if isinstance(path := entry.values.get("path"), str)
        else entry
        for entry in entries
    ]


def _local(entries: Iterable[RawEntry], zones: Mapping[str, str], owner: str) -> list[RawEntry]:
    """Return entries whose local times are instants, in the time zone of the site or vehicle named by ``owner``."""
    return [
        replace(entry, values=_localised(entry.values, zones.get(entry.values.get(owner, ""), "UTC")))
        for entry in entries
    ]


def _localised(values: Mapping[str, Any], timezone: str) -> dict[str, Any]:
    instants = {name: _instant(text, timezone) for name, text in values.items() if name in LOCAL_TIMES}
    days = {name: text.removesuffix(" 00:00:00") for name, text in values.items() if name == "operating_date"}
    return {**values, **instants, **days}


def _instant(text: str, timezone: str) -> datetime | str:
    """Return a local or zoned time as an instant; a text that is neither stays, for validation to refuse."""
    try:
        if len(text) == len("2026-02-10"):
            return local_instant(date.fromisoformat(text), time(0), timezone)
        stamp = datetime.fromisoformat(text)
    except ValueError:
        return text
    return stamp if stamp.tzinfo is not None else local_instant(stamp.date(), stamp.time(), timezone)


def _section(model: type[E], name: str, read: Callable[[], list[RawEntry]]) -> Section[E]:
    """Read a file and validate each entry against its model."""
    try:
        entries = read()
    except UnreadableFileError as error:
        return Section(mistakes=[error.mistake])
    located: list[Located[E]] = []
    mistakes: list[Mistake] = []
    for raw in entries:
        if raw.broken is not None:
            mistakes.append(raw.broken)
            continue
        try:
            located.append(Located(model.model_validate(dict(raw.values)), raw))
        except ValidationError as error:
            mistakes += [_mistake(raw, model, details) for details in error.errors()]
    return Section(located, frozenset(str(raw.values.get(name)) for raw in entries), mistakes)


def _mistake(raw: RawEntry, model: type[Entry], details: ErrorDetails) -> Mistake:
    path: KeyPath = tuple(details["loc"])
    kind, message = details["type"], details["msg"]
    if kind == "missing":
        return raw.mistake(path, "it is missing", f"Add {path[-1]}")
    if kind == "extra_forbidden":
        return raw.mistake(path, "nothing here has this name", _did_you_mean(str(path[-1]), model, path))
    if kind == "value_error":
        problem, _, hint = message.removeprefix("Value error, ").partition("; ")
        return raw.mistake(path, problem, _sentence(hint or "Correct the value"))
    value = "" if SECRET_PARTS & set(map(str, path)) else f", not {details['input']!r}"
    problem = "the value does not fit"
    return raw.mistake(path, problem, _sentence(message.replace("Input should", "it should")) + value)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _did_you_mean(name: str, model: type[Entry], path: KeyPath) -> str:
    """Return the fields that there are, the most similar first."""
    fields = _fields_at(model, path[:-1])
    near = difflib.get_close_matches(name, fields, n=1)
    if name in ("token", "password", "user", "secret"):
        return f"Never write a secret here; name the environment variable that holds it: {name}_env"
    return f"Did you mean {near[0]}?" if near else f"Remove it; there are: {', '.join(fields)}"


def _fields_at(model: type[Entry], path: KeyPath) -> list[str]:
    """Return the field names of the (nested) model at a path."""
    for part in path:
        if isinstance(part, str):
            by_alias = {info.alias or name: info.annotation for name, info in model.model_fields.items()}
            model = next(iter(_models_in(by_alias.get(part))), model)
    return [info.alias or name for name, info in model.model_fields.items()]


def _models_in(annotation: object) -> list[type[Entry]]:
    """Return the models that an annotation mentions, such as ``tuple[LimitFrom, ...]`` or ``Battery | None``."""
    if isinstance(annotation, type) and issubclass(annotation, Entry):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]
