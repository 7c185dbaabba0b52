"""What follows from how a step ended: for what the station may hold, and for what is tried next. No I/O, no clock."""

from ocpp_bridge.holdings import Holdings
from ocpp_bridge.lines import Line, Link
from ocpp_bridge.outbox import Evidence, State
from ocpp_bridge.profiles import LASTING, Slot
from ocpp_bridge.steps import Install, Outcome, Remove


def note_removed(step: Remove, outcome: Outcome, line: Line | None, link: Link, holdings: Holdings) -> None:
    """A clear ended; without a line it was of the station's maximum."""
    if outcome is Outcome.UNANSWERED:
        return
    key = step.key
    held = link.has_maximum if line is None else holdings.newest_accepted(key, step.slot) is not None
    # What was accepted, has no end and is said to be unknown may well be there still.
    is_gone = outcome is Outcome.ACCEPTED or (outcome is Outcome.ABSENT and not (held and step.slot in LASTING))
    link.note_clear((key[1], step.slot), is_gone=is_gone, was_held=held)
    if line is None:
        return
    if is_gone:
        holdings.cleared(key, step.slot, before=step.sequence)
    else:
        line.unclearable.add(step.slot)
        holdings.clearing(key, step.slot, begun=False)


def note_installed(
    step: Install, outcome: Outcome, detail: str, line: Line, link: Link, holdings: Holdings, *, of_plan: bool
) -> bool:
    """A connector's profile was answered, or was not; return whether shares must be worked out anew."""
    key, held = step.key, step.held
    had_base, was_by_maximum = holdings.has_base(key), holdings.is_by_maximum(key)
    if outcome is Outcome.ACCEPTED:
        holdings.accepted(key, held.sequence)
    elif outcome is Outcome.REFUSED:
        holdings.refused(key, held.sequence)
    if held.profile.slot is Slot.BASE:
        line.base_is_current = outcome is Outcome.ACCEPTED
        line.base_attempt += outcome is Outcome.REFUSED
        line.last_base_refusal = detail
        if was_by_maximum and not holdings.is_by_maximum(key):
            link.maximum_attempted = False  # the station's own maximum takes the place that the fallback had
        return line.base_is_refused or holdings.has_base(key) != had_base
    if outcome is Outcome.REFUSED:
        line.refuse(detail or "refused")
    elif outcome is Outcome.ACCEPTED and of_plan and line.is_open:
        # A part of the plan is not the plan.
        line.change(State.SENT if line.is_squeezed else State.ACCEPTED, detail or None, Evidence.ACCEPTED)
    return False
