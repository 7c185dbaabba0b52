"""The page: complete, self-contained, harmless whatever names people give to things, and the same every time."""

import re
from dataclasses import fields, is_dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from reporting.loading import load_view
from reporting.nights import night_before
from reporting.operations import build_page
from reporting.readiness import State
from reporting.view import Comparison, OperationsView, Policy
from tests.reporting.depot import BEFORE_DAWN, EVENING, MORNING, Depot, busy_night, hours
from tests.reporting.test_markup import read

HOSTILE = "\"><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)> '</style><!--"
KEPT = {"timezone"}
COMPARISON = Comparison("EUR", (Policy("This plan", 212.4, 118.0, 97.5), Policy("Uncontrolled", 341.2, None, None)))


@pytest.fixture(scope="module")
def depot(tmp_path_factory: pytest.TempPathFactory) -> Depot:
    return busy_night(tmp_path_factory.mktemp("landing"))


@pytest.fixture(scope="module")
def view(depot: Depot) -> OperationsView:
    return load_view(depot.landing, site_id="north", as_of=BEFORE_DAWN, comparison=COMPARISON)


def text_of(html: str) -> str:
    """Return the visible words of a page."""
    return re.sub(r"\s+", " ", read(re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)).text)


def test_the_page_says_who_is_not_ready_and_why(view: OperationsView) -> None:
    text = text_of(build_page(view))
    assert "3 of 6 ready or on course" in text
    assert "bus-03 not ready: plugged in at 00:40, 11 kWh short; tell the dispatcher" in text
    assert "bus-04 not ready: at the depot since 19:00, not plugged in, 44 kWh short; plug it in" in text
    assert (
        "bus-05 not known to be ready: last SoC report 2 days old, it may have moved since; read its dashboard" in text
    )


def test_the_page_holds_every_part(view: OperationsView) -> None:
    text = text_of(build_page(view))
    for part in (
        "Depot North", "Night of Mon 9 Feb 2026 to Tue 10 Feb 2026", "as of 05:00", "times in Europe/Berlin (CET)",
        "plan plan-0209T17", "expected by 05:30", "rfms, 6 min old, rung 1 (fresh)", "plan goes by forecast, rung 4",
        "Price of energy",
        "rfms: 1 silent, promised every 60 min", "Call Fleet data team (data@example.org)", "Never heard of (1)",
        "1 accepted, 4 nothing published, 1 rejected, 1 verified", "in use, vehicle unknown", "the station said so",
        "soc out of range", "SoC is 140 %", "Return time: 1 vehicle by median (1 on rung 5)", "212.40", "Uncontrolled",
    ):  # fmt: skip
        assert part in text, part


def test_before_during_and_after_come_from_one_function(depot: Depot) -> None:
    views = [load_view(depot.landing, site_id="north", as_of=at) for at in (EVENING, BEFORE_DAWN, MORNING + hours(4))]
    assert [re.findall(r"Depot North: (.*?)Depot North", text_of(build_page(view))) for view in views] == [
        ["5 of 6 planned to be ready"],
        ["3 of 6 ready or on course"],
        ["1 of 6 were ready at pull-out"],
    ]


def test_the_page_asks_for_nothing(view: OperationsView) -> None:
    html = build_page(view)
    reader = read(html)
    addresses = [value or "" for name, value in reader.attributes if name in {"src", "href", "srcset", "action"}]
    assert all(address.startswith(("#", "mailto:", "data:")) for address in addresses)
    assert not {"script", "img", "iframe", "object", "embed", "form", "base", "video"} & set(reader.tags)
    assert not re.search(r"url\(|@import|https?:", html)
    policy = next(value for name, value in reader.attributes if name == "content")
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "script-src" not in policy
    assert "connect-src" not in policy


def hostile(value: Any, name: str = "") -> Any:
    """Return a view in which every text that others may have written attacks the page."""
    if isinstance(value, State) or name in KEPT:
        return value
    if type(value) is str:
        return HOSTILE
    if isinstance(value, tuple):
        return tuple(hostile(item) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{field.name: hostile(getattr(value, field.name), field.name) for field in fields(value)}
        )
    return value


def test_no_name_can_become_markup(view: OperationsView) -> None:
    attacked = hostile(view)
    assert attacked.departures[0].departure.vehicle_id == HOSTILE
    # Unknown targets and states would change what is said; the structure is compared on texts alone.
    attacked = replace(
        attacked,
        forecasts=tuple(
            replace(new, target=old.target) for new, old in zip(attacked.forecasts, view.forecasts, strict=True)
        ),
        connectors=tuple(
            replace(new, state=old.state) for new, old in zip(attacked.connectors, view.connectors, strict=True)
        ),
    )
    html = build_page(attacked)
    reader = read(html)
    assert not {"script", "img"} & set(reader.tags)
    assert {name for name, _ in reader.attributes if name.startswith("on")} == set()
    harmless = replace(view, stale=tuple(replace(line, contact="the desk") for line in view.stale))
    assert reader.tags == read(build_page(harmless)).tags
    assert HOSTILE in reader.text


def test_no_vin_position_or_token_is_shown(view: OperationsView) -> None:
    vin, token = "WDB9634031L123456", "0123456789abcdef0123"
    leak = f"{vin} at 52.51234, 13.38765 with {token}"
    quarantine = tuple(replace(line, example=leak) for line in view.quarantine)
    connectors = tuple(replace(line, detail=leak, vehicle_id=vin) for line in view.connectors)
    html = build_page(replace(view, quarantine=quarantine, connectors=connectors))
    assert not [secret for secret in (vin, token, "52.51234", "13.38765") if secret in html]


def test_the_same_view_makes_the_same_page(depot: Depot, view: OperationsView) -> None:
    again = load_view(depot.landing, site_id="north", as_of=BEFORE_DAWN, comparison=COMPARISON)
    assert build_page(again) == build_page(view)


def test_a_page_of_many_vehicles_stays_small_enough_to_mail(view: OperationsView) -> None:
    wide = replace(view, departures=view.departures * 24, gantt=view.gantt * 24, connectors=view.connectors * 24)
    assert len(wide.departures) == 144
    assert len(build_page(wide).encode()) < 400_000


def test_several_sites_get_a_section_each_with_ids_of_their_own(view: OperationsView) -> None:
    html = build_page(view, replace(view, name="Depot South", site_id="south"))
    ids = [value for name, value in read(html).attributes if name == "id"]
    assert ids == ["site-0", "site-0-name", "site-1", "site-1-name"]
    assert "Depot North: 3 of 6 ready or on course | Depot South" in html
    assert "All sites against other ways" in text_of(build_page(view, comparison=COMPARISON))
    with pytest.raises(ValueError, match="at least one site"):
        build_page()


def test_tables_and_pictures_speak_to_those_who_do_not_see_them(view: OperationsView) -> None:
    html = build_page(view)
    pictures = re.findall(r"<svg [^>]*>", html)
    assert len(pictures) == 2 + len(view.gantt)
    assert all('role="img"' in picture and re.search(r'aria-label="[^"]{10,}"', picture) for picture in pictures)
    assert 'aria-label="bus-01: plugged in 19:06 to 05:00, 50 kWh planned, 45 kWh metered, leaves 06:30"' in html
    for sign in ("✖", "▼", "?", "✔", "▲", "→"):  # every state has a sign and a word beside its colour
        assert f'<i aria-hidden="true">{sign}</i>' in html
    reader = read(html)
    assert ("lang", "en") in reader.attributes
    assert reader.tags.count("h1") == 1


def test_without_plan_or_data_the_page_says_so(tmp_path: Path) -> None:
    text = text_of(build_page(load_view(Depot(tmp_path).landing, site_id="north", as_of=EVENING)))
    assert "No departures are planned for this night" in text
    assert "There is no plan for this night: chargers go by their safe default." in text
    assert "No vehicle and no charger of this site has ever been heard of." in text
    assert "Nothing was quarantined this night." in text


def test_old_data_is_said_while_somebody_still_has_to_leave(depot: Depot) -> None:
    warned = "The newest report of any vehicle or charger came"
    later = load_view(depot.landing, site_id="north", as_of=BEFORE_DAWN + hours(1))
    over = load_view(depot.landing, site_id="north", as_of=MORNING + hours(4))
    assert warned in text_of(build_page(later))
    assert warned not in text_of(build_page(over))


def test_the_night_when_clocks_go_back_shows_both_hours(tmp_path: Path) -> None:
    span = night_before(date(2026, 10, 25), "Europe/Berlin")
    depot = Depot(tmp_path)
    for number in (1, 2):
        depot.vehicle(f"bus-0{number}")
        depot.duty(f"bus-0{number}", span.start_at + hours(13.5 + number))
    text = text_of(build_page(load_view(depot.landing, site_id="north", as_of=span.start_at)))
    assert text.index("02:30 CESTbus-01") < text.index("02:30 CETbus-02")
    assert "times in Europe/Berlin (CEST, then CET: clocks change)" in text
