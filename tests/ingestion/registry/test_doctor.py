"""``depotwise check``: what it finds in a folder, in the environment, at the sources and in the landing zone."""

from datetime import UTC, datetime, timedelta

import pytest

from ingestion.registry.doctor import check

AS_OF = datetime(2026, 2, 9, 18, tzinfo=UTC)


@pytest.fixture
def depot(make_depot, monkeypatch):
    monkeypatch.setenv("DEPOTWISE_BRIDGE_TOKEN", "a-secret-token")
    return make_depot()


def places(findings, *, errors: bool = True) -> list[str]:
    return [finding.place for finding in findings if finding.is_error is errors]


def test_a_good_configuration_has_nothing_to_say(depot):
    assert check(depot.folder, as_of=AS_OF) == []


def test_mistakes_are_errors_with_their_place(depot):
    path = depot.folder / "vehicles.csv"
    path.write_text(path.read_text().replace("0.93,1.1", "9.3,1.1"))
    (finding,) = check(depot.folder, as_of=AS_OF)
    assert finding.place == "vehicles.csv:4 efficiency"
    assert finding.document()["is_error"] is True


def test_a_secret_that_is_not_set_is_named_and_never_shown(depot, monkeypatch):
    monkeypatch.delenv("DEPOTWISE_GEOTAB_PASSWORD")
    monkeypatch.delenv("DEPOTWISE_HASH_KEY")
    findings = check(depot.folder, as_of=AS_OF)
    assert places(findings) == ["source geotab-vans", "tokens and drivers"]
    assert "DEPOTWISE_GEOTAB_PASSWORD" in str(findings[0])


def test_a_missing_path_is_an_error(depot):
    (depot.folder / "prices" / ".gitkeep").unlink()
    (depot.folder / "prices").rmdir()
    assert places(check(depot.folder, as_of=AS_OF)) == ["source prices"]


def test_what_is_hardly_meant_is_a_warning(depot):
    def change(file: str, old: str, new: str) -> None:
        path = depot.folder / file
        path.write_text(path.read_text().replace(old, new, 1))

    change("connectors.csv", "4.14,4.2", "2,4.2")
    change("sites.yaml", "base_load_kw: 18", "base_load_kw: 90")
    change("vehicles.csv", "geotab-vans,b1", ",")
    change("duties.csv", "tour-2,2026-02-10,north,van-02", "tour-2,2026-02-10,north,van-01")
    findings = check(depot.folder, as_of=AS_OF + timedelta(days=30))
    warned = ["site north", "connector CP-1/1", "vehicle van-01", "duties", "vehicle van-01"]
    assert (places(findings), places(findings, errors=False)) == ([], warned)


def test_connecting_finds_sources_and_bridges_that_do_not_answer(make_depot, serve, rfms, geotab, depot):
    answering = make_depot(rfms=serve(rfms().app()), geotab=serve(geotab().app()), name="answering")
    found = places(check(answering.folder, as_of=AS_OF, connect=True))
    assert found == ["source bridge-north", "bridge of site north"]


def test_freshness_is_held_against_the_contract(make_depot, serve, rfms, status, monkeypatch):
    monkeypatch.setenv("DEPOTWISE_BRIDGE_TOKEN", "a-secret-token")
    depot = make_depot(rfms=serve(rfms(statuses=[status(AS_OF - timedelta(minutes=50))]).app()))
    depot.ingest("rfms-heavy", AS_OF)
    stale = places(check(depot.folder, as_of=AS_OF, landing=depot.landing), errors=False)
    assert "source rfms-heavy" not in stale
    assert "source geotab-vans" in stale
    later = check(depot.folder, as_of=AS_OF + timedelta(hours=1), landing=depot.landing)
    assert "110 min old; it promises 60 min. Call Fleet data team" in " ".join(map(str, later))
