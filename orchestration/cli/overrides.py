"""``depotwise override``: what an operator decides against the platform; it expires, and is recorded for ever."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestration.cli.keys import ensure_hash_key
from orchestration.cli.output import console, friendly, say_json


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(override)


def override(
    subject: Annotated[str, typer.Argument(help="A vehicle, a connector as STATION/NUMBER, or: list, cancel.")],
    action: Annotated[
        str | None,
        typer.Argument(help="charge-now, out-of-service, departure=INSTANT, target=PERCENT; after cancel: its id."),
    ] = None,
    until: Annotated[str | None, typer.Option(help="Instant with zone at which it expires (default: 12 h).")] = None,
    reason: Annotated[str | None, typer.Option(help="Why; it stands in the plan and in the record.")] = None,
    as_of: Annotated[str | None, typer.Option(help="Instant with zone at which it is decided (default: now).")] = None,
    plan: Annotated[bool, typer.Option(help="Plan the site anew at once.")] = True,
    config: Annotated[Path | None, typer.Option(envvar="DEPOTWISE_CONFIG", help="Configuration folder.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")] = False,
) -> None:
    """Set, list or cancel an override: charge now, out of service, another departure, another target.

    It is in the plan that is made at once, and in every plan until it expires or is cancelled.
    """
    from core.settings import MissingSecretError, Settings
    from core.time_grid import parse_instant
    from ingestion.registry import ConfigurationError
    from orchestration.steps.overrides import OverrideError, cancel, decide, decided_overrides
    from orchestration.steps.plan import plan_and_publish
    from orchestration.steps.workplace import Workplace

    settings = Settings() if config is None else Settings(config=config)
    ensure_hash_key(settings)
    workplace = Workplace(settings)
    with friendly(ConfigurationError, MissingSecretError, OverrideError, ValueError):
        instant = datetime.now(UTC) if as_of is None else parse_instant(as_of)
        if subject == "list":
            known = decided_overrides(workplace, as_of=instant)
            _show([one for one in known if not one.is_cancelled and one.override.holds(instant)], json=json)
            return
        if action is None:
            raise OverrideError("say what is to be done; see `depotwise override --help`")
        end = None if until is None else parse_instant(until)
        if subject == "cancel":
            decided = cancel(workplace, action, as_of=instant)
        else:
            decided = decide(workplace, subject=subject, action=action, as_of=instant, until=end, reason=reason)
        outcome = None
        if plan:
            try:
                outcome = plan_and_publish(workplace, site_id=decided.site_id, as_of=instant, trigger="override")
            except MissingSecretError as error:
                kept = f"what was decided on {decided.override.override_id} is recorded, for the next plan"
                raise OverrideError(f"{kept}; none was made: {error}") from error
    document = _document(decided) | {"plan_id": None if outcome is None else outcome.planned.plan_id}
    if json:
        say_json({"schema": "depotwise.override/1", **document})
        return
    console.print(decided.override.note + ("; cancelled" if decided.is_cancelled else ""), markup=False)
    if outcome is not None:
        console.print(f"in plan {outcome.planned.plan_id}", markup=False)
        if outcome.published.error:
            console.print(f"not published: {outcome.published.error}", markup=False, soft_wrap=True)


def _document(decided: Any) -> dict[str, Any]:  # noqa: ANN401 - its type is imported where it is needed
    from core.time_grid import format_instant

    one = decided.override
    return {
        "override_id": one.override_id,
        "site_id": decided.site_id,
        "vehicle_id": one.vehicle_id,
        "connector": None if one.connector is None else f"{one.connector[0]}/{one.connector[1]}",
        "kind": one.kind,
        "departure_at": None if one.departure_at is None else format_instant(one.departure_at),
        "target_soc_pct": one.target_soc_pct,
        "valid_from_at": format_instant(one.valid_from_at),
        "valid_until_at": format_instant(one.valid_until_at),
        "reason": one.reason,
        "is_cancelled": decided.is_cancelled,
    }


def _show(decided: list[Any], *, json: bool) -> None:
    if json:
        say_json({"schema": "depotwise.overrides/1", "overrides": [_document(one) for one in decided]})
        return
    for one in decided:
        where = one.override.vehicle_id or "/".join(map(str, one.override.connector))
        console.print(f"{where}: {one.override.note}", markup=False, soft_wrap=True)
    if not decided:
        console.print("no override is in force")
