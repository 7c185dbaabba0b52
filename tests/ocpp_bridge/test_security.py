"""Who is let in: over real sockets, in every form that stations use; and who is not."""

import asyncio
import json
import ssl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidHandshake, InvalidStatus

from ocpp_bridge import security
from ocpp_bridge.security import TokenBucket, hash_password, parse_basic, verify_password

PASSWORD = "a-password-of-20-byt"
HEX = PASSWORD.encode().hex()


@pytest.fixture
async def guarded(kit, tmp_path):
    config = kit.config_dict(tmp_path / "state", stations=("CP-1",))
    config["listeners"] = [{"host": "127.0.0.1", "port": 0, "security_profile": 1}]
    config["stations"][0]["password_hash"] = hash_password(PASSWORD.encode())
    async with kit.running_bridge(config) as running:
        yield running


@pytest.mark.parametrize("password", [PASSWORD, HEX, HEX.upper()], ids=["text", "hex", "HEX"])
async def test_the_right_password_opens_in_every_form(guarded, password):
    async with guarded.station("CP-1", password=password) as station:
        assert "currentTime" in await station.call("Heartbeat", {})


async def test_a_hash_of_the_hex_text_takes_the_decoded_bytes(kit, tmp_path):
    config = kit.config_dict(tmp_path / "state", stations=("CP-1",))
    config["listeners"] = [{"host": "127.0.0.1", "port": 0, "security_profile": 1}]
    config["stations"][0]["password_hash"] = hash_password(HEX.encode())
    async with (
        kit.running_bridge(config) as running,
        running.station("CP-1", password=bytes.fromhex(HEX)) as station,
    ):
        assert "currentTime" in await station.call("Heartbeat", {})


@pytest.mark.parametrize(("password", "status"), [("wrong", 401), (None, 401), ("", 401)])
async def test_a_wrong_password_is_turned_away_before_the_upgrade(guarded, password, status):
    with pytest.raises(InvalidStatus) as refusal:
        await guarded.station("CP-1", password=password).connect()
    assert refusal.value.response.status_code == status
    assert "Basic" in refusal.value.response.headers["WWW-Authenticate"]


async def test_an_unknown_station_is_not_found_whatever_its_password(guarded):
    with pytest.raises(InvalidStatus) as refusal:
        await guarded.station("CP-9", password=PASSWORD).connect()
    assert refusal.value.response.status_code == 404


async def test_another_stations_name_in_the_header_does_not_open(guarded):
    station = guarded.station("CP-1", password=PASSWORD)
    station.station_id = "CP-2"
    with pytest.raises(InvalidStatus) as refusal:
        await station.connect()
    assert refusal.value.response.status_code == 401


async def test_a_station_without_subprotocol_is_told_why(lone):
    async with connect(f"{lone.url}/ocpp/CP-1", proxy=None) as socket:
        with pytest.raises(ConnectionClosedError) as closing:
            await socket.recv()
        assert "ocpp1.6" in closing.value.rcvd.reason


async def test_an_oversized_frame_ends_only_its_own_connection(bridge):
    async with bridge.station("CP-1") as honest:
        rude = await bridge.station("CP-2").connect()
        await rude.send_raw("x" * 300_000)
        await asyncio.wait_for(rude.closed.wait(), 60)
        assert "currentTime" in await honest.call("Heartbeat", {})


async def test_passwords_and_keys_never_reach_a_log(guarded, caplog):
    async with guarded.station("CP-1", password=PASSWORD) as station:
        await station.call("DataTransfer", {"vendorId": "x", "data": json.dumps({"idTag": "PLAIN-TAG"})})
    with pytest.raises(InvalidStatus):
        await guarded.station("CP-1", password="another-secret").connect()
    frames = (await guarded.client.get("/frames")).text
    for secret in (PASSWORD, "another-secret", "PLAIN-TAG"):
        assert secret not in frames + caplog.text


@settings(max_examples=6, deadline=None)
@given(st.binary(min_size=1, max_size=40))
def test_a_hash_fits_its_password_and_no_other(password):
    hashed = hash_password(password)
    assert verify_password(password, hashed)
    assert not verify_password(password + b"x", hashed)


@given(st.text())
def test_a_hash_that_is_none_fits_nothing(text):
    assert not verify_password(b"x", text)


@given(st.text())
def test_any_header_is_read_without_failing(header):
    assert parse_basic(header) is None or isinstance(parse_basic(header)[1], bytes)


def test_the_gate_remembers_only_the_right_password():
    gate = security.PasswordGate()
    hashed = hash_password(b"right")
    assert not gate.check("CP-1", b"wrong", hashed)
    assert not gate.remembers("CP-1", b"wrong", hashed)
    assert gate.check("CP-1", b"right", hashed)
    assert gate.remembers("CP-1", b"right", hashed)
    assert not gate.remembers("CP-1", b"right", hash_password(b"right"))


def test_a_bucket_lets_a_burst_pass_and_then_slows_down():
    clock = {"s": 0.0}
    bucket = TokenBucket(10, 5, now=lambda: clock["s"])
    assert [bucket.take() for _ in range(5)] == [0.0] * 5
    assert bucket.take() == pytest.approx(0.1)
    clock["s"] = 10.0
    assert bucket.take() == 0.0


async def test_who_dials_and_says_nothing_is_hung_up_on_and_keeps_nobody_out(kit, tmp_path):
    """Slow loris: many begin a request and never finish it."""
    config = kit.config_dict(tmp_path / "state", stations=("CP-1",))
    config["link"] |= {"open_timeout_s": 0.5}
    async with kit.running_bridge(config) as running:
        port = running.bridge.station_ports[0]
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(60)]
        for k, (_, writer) in enumerate(slow):
            writer.write(b"GET /ocpp/CP-1 HTTP/1.1\r\nHost: x\r\nX-Slow: "[: k + 1])
        async with running.station("CP-1") as station:
            assert "currentTime" in await station.call("Heartbeat", {})
        for reader, writer in slow:
            assert b"101" not in await asyncio.wait_for(reader.read(), 5)  # read until the bridge hangs up
            writer.close()


async def test_connections_are_limited(kit, tmp_path):
    config = kit.config_dict(tmp_path / "state")
    config["link"] |= {"max_connections": 1}
    async with kit.running_bridge(config) as running, running.station("CP-1"):
        with pytest.raises(InvalidStatus) as refusal:
            await running.station("CP-2").connect()
        assert refusal.value.response.status_code == 503
        assert b"too many" in refusal.value.response.body


async def test_a_flood_is_slowed_down_and_not_lost(kit, tmp_path):
    config = kit.config_dict(tmp_path / "state", stations=("CP-1",))
    config["link"] |= {"messages_per_s": 50, "message_burst": 10}
    async with kit.running_bridge(config) as running, running.station("CP-1") as station:
        begun_s = asyncio.get_running_loop().time()
        for k in range(60):
            await station.send_raw(json.dumps([2, f"flood-{k}", "Heartbeat", {}]))
        assert "currentTime" in await station.call("Heartbeat", {}, seconds=60)
        assert asyncio.get_running_loop().time() - begun_s > 0.8  # ten at once, then fifty a second


# --- TLS ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(certificate_maker):
    """An authority of our own, a server's certificate, two stations', and one that has run out."""
    make = certificate_maker()
    make.authority("ca")
    make.signed("server", "subjectAltName=IP:127.0.0.1")
    for name in ("CP-1", "CP-2"):
        make.signed(name, "extendedKeyUsage=clientAuth")
    make.expired("old", "CP-1")
    return make.folder


def client_tls(folder, name=None):
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    if name is not None:
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


def tls_config(kit, tmp_path, certificates, profile):
    tls = {"cert": str(certificates / "server.pem"), "key": str(certificates / "server.key")}
    if profile == 3:
        tls["client_ca"] = str(certificates / "ca.pem")
    config = kit.config_dict(tmp_path / "state", stations=("CP-1",))
    config["listeners"] = [{"host": "127.0.0.1", "port": 0, "security_profile": profile, "tls": tls}]
    config["stations"][0]["password_hash"] = hash_password(PASSWORD.encode())
    return config


async def test_profile_2_is_tls_with_a_password(kit, tmp_path, certificates):
    async with kit.running_bridge(tls_config(kit, tmp_path, certificates, 2)) as running:
        url = running.url.replace("ws:", "wss:")
        tls = client_tls(certificates)
        async with kit.ChargePoint(url, "CP-1", password=PASSWORD, tls=tls) as station:
            assert "currentTime" in await station.call("Heartbeat", {})
        with pytest.raises(InvalidStatus):
            await kit.ChargePoint(url, "CP-1", password="wrong", tls=tls).connect()
        with pytest.raises((InvalidHandshake, OSError)):
            await running.station("CP-1", password=PASSWORD).connect()  # no TLS


async def test_profile_3_is_a_certificate_of_that_very_station(kit, tmp_path, certificates):
    async with kit.running_bridge(tls_config(kit, tmp_path, certificates, 3)) as running:
        url = running.url.replace("ws:", "wss:")
        async with kit.ChargePoint(url, "CP-1", tls=client_tls(certificates, "CP-1")) as station:
            assert "currentTime" in await station.call("Heartbeat", {})
        with pytest.raises(InvalidStatus) as refusal:
            await kit.ChargePoint(url, "CP-1", tls=client_tls(certificates, "CP-2")).connect()
        assert refusal.value.response.status_code == 401
        for name in (None, "old"):
            with pytest.raises((InvalidHandshake, OSError, EOFError)):
                await kit.ChargePoint(url, "CP-1", tls=client_tls(certificates, name)).connect()
