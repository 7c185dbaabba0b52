"""Proxy mode over TLS: the back end shows its certificate, and we show ours."""

import ssl

import pytest

from ocpp_bridge.upstream.settings import UpstreamConfig
from simulator.back_ends.csms import Csms


@pytest.fixture(scope="module")
def certificates(certificate_maker):
    """Two authorities, a back end's certificate of the first, and a station's."""
    make = certificate_maker()
    for name in ("ca", "other"):
        make.authority(name)
    make.signed("csms", "subjectAltName=IP:127.0.0.1")
    make.signed("CP-1", "extendedKeyUsage=clientAuth")
    return make.folder


@pytest.fixture
async def csms(certificates):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates / "csms.pem", certificates / "csms.key")
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_verify_locations(certificates / "ca.pem")
    async with Csms(tokens={"TAG-1"}, tls=tls).serving() as one:
        yield one


def config_of(kit, tmp_path, csms, certificates, **upstream):
    config = kit.config_dict(tmp_path / "state", stations=("CP-1",))
    files = {name: str(certificates / file) for name, file in upstream.items()}
    config["stations"][0]["upstream"] = {"url": csms.url, "retry_max_s": 0.5, "timeout_s": 2.0, **files}
    return config


async def test_both_sides_show_a_certificate(kit, tmp_path, csms, certificates):
    config = config_of(kit, tmp_path, csms, certificates, ca="ca.pem", cert="CP-1.pem", key="CP-1.key")
    async with kit.running_bridge(config) as proxy, proxy.station("CP-1") as station:
        await csms.until(lambda: "CP-1" in csms.sockets)
        shown = csms.sockets["CP-1"].transport.get_extra_info("ssl_object").getpeercert()
        assert shown["subject"] == ((("commonName", "CP-1"),),)
        assert await station.start(1) == 501


@pytest.mark.parametrize(
    "files", [{"ca": "other.pem", "cert": "CP-1.pem", "key": "CP-1.key"}, {"ca": "ca.pem"}], ids=["authority", "none"]
)
async def test_a_wrong_authority_or_no_certificate_of_ours_reaches_nobody(kit, tmp_path, csms, certificates, files):
    config = config_of(kit, tmp_path, csms, certificates, **files)
    async with kit.running_bridge(config) as proxy, proxy.station("CP-1") as station:

        async def told():
            reasons = (await proxy.client.get("/health")).json()["reasons"]
            return any("its back end is away" in reason for reason in reasons)

        await kit.eventually(told, 60, lambda: "health says nothing")
        assert await station.start(1) > 1000  # the station is served all the same
    assert csms.heard == []


def test_certificates_are_read_once_until_they_change(certificates, tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_bytes((certificates / "ca.pem").read_bytes())
    config = UpstreamConfig(url="wss://csms.example", ca=ca)
    first = config.tls()
    assert config.tls() is first
    ca.write_bytes((certificates / "other.pem").read_bytes())
    assert config.tls() is not first
    assert UpstreamConfig(url="ws://csms.example").tls() is None
