"""bridge.yaml: what is refused, and that the message says what to do."""

import pytest
import yaml

from core.clock import SimulatedClock, WallClock
from ocpp_bridge.config import ConfigError, load_config
from ocpp_bridge.security import hash_password


def load(tmp_path, raw):
    file = tmp_path / "bridge.yaml"
    file.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return load_config(file)


def changed_connector(kit, tmp_path, **changes):
    raw = kit.config_dict(tmp_path)
    raw["stations"][0]["connectors"] = [kit.connector_config(**changes)]
    return raw


def test_a_good_file_is_read_whole(kit, tmp_path):
    config = load(tmp_path, kit.config_dict(tmp_path, connectors=2, limit_kw=100))
    assert sorted(config.connector_map) == [("CP-1", 1), ("CP-1", 2), ("CP-2", 1), ("CP-2", 2)]
    assert isinstance(config.make_clock(), WallClock)


def test_a_clock_section_makes_a_simulated_clock(kit, tmp_path):
    clock = {"start_at": "2026-02-10T18:00:00Z", "rate": 60}
    made = load(tmp_path, kit.config_dict(tmp_path, clock=clock)).make_clock()
    assert isinstance(made, SimulatedClock)
    assert made.now().isoformat().startswith("2026-02-10T18:00")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fallback_kw": 2}, "neither 0 nor at least min_kw"),
        ({"fallback_kw": 30}, "above max_kw"),
        ({"min_kw": 30, "fallback_kw": 0}, "above max_kw"),
        ({"group_id": "x"}, "unknown group x"),
        ({"max_kw": "many"}, "stations.0.connectors.0.max_kw"),
    ],
)
def test_an_impossible_connector_is_refused(kit, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, changed_connector(kit, tmp_path, **changes))


def test_too_much_fallback_is_refused_by_how_much(kit, tmp_path):
    with pytest.raises(ConfigError, match=r"8\.4 kW, 2\.4 kW above its limit of 6 kW"):
        load(tmp_path, kit.config_dict(tmp_path, limit_kw=6))


def test_too_much_fallback_of_a_group_is_refused(kit, tmp_path):
    raw = changed_connector(kit, tmp_path, group_id="g")
    raw["groups"] = [{"group_id": "g", "limit_kw": 4}]
    with pytest.raises(ConfigError, match="group g"):
        load(tmp_path, raw)


@pytest.mark.parametrize(
    ("listener", "message"),
    [
        ({"host": "0.0.0.0", "port": 9310, "security_profile": 0}, "loopback"),
        ({"port": 9310, "security_profile": 2}, "needs tls"),
        ({"port": 9310, "security_profile": 3, "tls": {"cert": "c", "key": "k"}}, "client_ca"),
        ({"port": 9310, "security_profile": 1}, "password_hash"),
    ],
)
def test_an_unprotected_listener_is_refused(kit, tmp_path, listener, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, kit.config_dict(tmp_path, listeners=[listener]))


def test_all_mistakes_come_at_once(kit, tmp_path):
    raw = kit.config_dict(tmp_path)
    raw["http"]["port"] = -1
    raw["site"] = {"site_id": "north"}
    with pytest.raises(ConfigError) as refusal:
        load(tmp_path, raw)
    assert "http.port" in str(refusal.value)
    assert "site.ev_limit_kw" in str(refusal.value)


def test_a_misspelt_setting_is_pointed_out(kit, tmp_path, caplog):
    raw = changed_connector(kit, tmp_path, fallbak_kw=3)
    raw["stations"][0]["password_hash"] = hash_password(b"x")
    load(tmp_path, raw)
    assert "stations[0].connectors[0].fallbak_kw" in caplog.text


def test_no_file_and_no_yaml_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(ConfigError):
        load_config(tmp_path / "bad.yaml")


def test_back_ends_are_checked_with_every_mistake_at_once(kit, tmp_path, monkeypatch):
    config = kit.config_dict(tmp_path / "state", stations=("A", "B", "C", "D"))
    config["stations"][0]["upstream"] = "http://csms.example/ocpp"
    config["stations"][1]["upstream"] = {"url": "wss://user:secret@csms.example/ocpp", "cert": "x.pem"}
    config["stations"][2] |= {"upstream": "ws://csms.example/ocpp", "publisher": "cpo"}
    config["publishers"] = [{"name": "cpo", "kind": "smoke signals"}]
    file = tmp_path / "bridge.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    with pytest.raises(ConfigError) as found:
        load_config(file)
    for words in (
        "stations.0.upstream: Value error, url must be ws://host/… or wss://host/…",
        "url must hold no password",
        "cert and key belong together",
        "not both",
        "publishers.0",
    ):
        assert words in str(found.value)
    assert "secret@" not in str(found.value)


def test_publishers_need_names_addresses_and_evses(kit, tmp_path):
    config = kit.config_dict(tmp_path / "state", stations=("A", "B"))
    parties = {"country_code": "DE", "party_id": "DWF", "to_country_code": "DE", "to_party_id": "CPO"}
    tokens = {"token_env": "NOT_SET_A", "peer_token_env": "NOT_SET_B"}
    ocpi = {"name": "cpo", "kind": "ocpi", "url": "https://cpo.example/chargingprofiles", **parties, **tokens}
    config["publishers"] = [ocpi, ocpi]
    config["stations"][0]["publisher"] = "cpo"
    config["stations"][1]["publisher"] = "nobody"
    file = tmp_path / "bridge.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    with pytest.raises(ConfigError) as found:
        load_config(file)
    for words in ("publisher name given twice", "unknown publisher nobody", "needs its evse_uid", "http.callback_url"):
        assert words in str(found.value)
    config["publishers"] = [ocpi]
    config["http"]["callback_url"] = "http://bridge.example:9311"
    config["stations"][0]["connectors"][0]["evse_uid"] = "E1"
    config["stations"][1]["publisher"] = None
    config["stations"][1]["upstream"] = {"url": "wss://csms.example", "password_env": "NOT_SET_C", "ca": "missing.pem"}
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    assert list(load_config(file).missing()) == [
        "B: upstream: set the environment variable NOT_SET_C",
        "B: upstream: missing.pem is no file",
        "publisher cpo: set the environment variable NOT_SET_A",
        "publisher cpo: set the environment variable NOT_SET_B",
    ]
