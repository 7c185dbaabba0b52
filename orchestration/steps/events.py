"""What happens at the chargers between two plans: a vehicle that plugs in or leaves calls for a new one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.settings import MissingSecretError
from orchestration.bridge_client import BridgeClient, BridgeError
from orchestration.steps.workplace import Workplace

REASONS_TO_PLAN = frozenset({"plugged", "unplugged", "transaction_started", "transaction_ended"})

Cursor = str | int | None
Cursors = Mapping[str, Cursor]


@dataclass(frozen=True, slots=True)
class Watched:
    """Sites that call for a new plan, how far the events of each site are read now, and bridges that failed."""

    sites: tuple[str, ...]
    cursors: Cursors
    errors: tuple[str, ...] = field(default=())


def watch(workplace: Workplace, cursors: Cursors) -> Watched:
    """Read the events of every site's bridge from its cursor on; one that does not answer is asked again next time.

    A site without a cursor is looked at for the first time: what happened before calls for nothing.
    """
    sites, after, errors = [], dict(cursors), []
    for site in workplace.registry.sites:
        if site.bridge is None:
            continue
        try:
            with BridgeClient.open(site.bridge) as client:
                types, after[site.site_id] = _types_after(client, cursors.get(site.site_id))
        except (BridgeError, MissingSecretError) as error:
            errors.append(f"{site.site_id}: {error}")
            continue
        if site.site_id in cursors and types & REASONS_TO_PLAN:
            sites.append(site.site_id)
    return Watched(tuple(sites), after, tuple(errors))


def _types_after(client: BridgeClient, cursor: Cursor) -> tuple[set[str], Cursor]:
    """Return the types of the events after a cursor, page by page, and the cursor of the last one."""
    types: set[str] = set()
    while (answer := client.events(cursor))["events"]:
        types |= {event["type"] for event in answer["events"]}
        cursor = answer["next"]
    return types, answer["next"]
