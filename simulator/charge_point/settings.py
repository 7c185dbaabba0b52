"""A station's configuration keys: what it says of itself, and what may be changed."""

from typing import Any

from simulator.charge_point.profiles import MAX_INSTALLED, MAX_PERIODS, MAX_STACK_LEVEL
from simulator.world.fleet import Connector

Json = dict[str, Any]
WRITABLE = {"HeartbeatInterval", "MeterValueSampleInterval", "ClockAlignedDataInterval", "MeterValuesSampledData"}
NUMBERS = WRITABLE - {"MeterValuesSampledData"}
SECRET_KEY = "AuthorizationKey"


class Settings:
    """The keys of one station."""

    def __init__(self, connectors: list[Connector]) -> None:
        is_ac = connectors[0].current_type == "ac"
        own = "Current.Offered" if is_ac else "Power.Offered,SoC"
        self._known = {*(f"Energy.Active.Import.Register,Power.Active.Import,{own}".split(","))}
        self._values = {
            "AuthorizeRemoteTxRequests": "false",
            "ChargeProfileMaxStackLevel": str(MAX_STACK_LEVEL),
            "ChargingScheduleAllowedChargingRateUnit": "Current,Power" if is_ac else "Power",
            "ChargingScheduleMaxPeriods": str(MAX_PERIODS),
            "ClockAlignedDataInterval": "0",
            "ConnectorSwitch3to1PhaseSupported": "false",
            "HeartbeatInterval": "300",
            "LocalAuthorizeOffline": "true",
            "MaxChargingProfilesInstalled": str(MAX_INSTALLED),
            "MeterValueSampleInterval": "300",
            "MeterValuesSampledData": f"Energy.Active.Import.Register,Power.Active.Import,{own}",
            "NumberOfConnectors": str(len(connectors)),
            "StopTransactionOnInvalidId": "true",
            "SupportedFeatureProfiles": "Core,SmartCharging,RemoteTrigger",
        }

    def number(self, key: str) -> int:
        """Return a setting that is a number."""
        return int(self._values[key])

    def text(self, key: str) -> str:
        """Return a setting."""
        return self._values[key]

    def read(self, keys: list[str]) -> Json:
        """Answer GetConfiguration: all keys, or those asked for; names are compared without case."""
        names = {name.casefold(): name for name in self._values}
        wanted = [names[key.casefold()] for key in keys if key.casefold() in names] if keys else list(self._values)
        entries = [{"key": name, "readonly": name not in WRITABLE, "value": self._values[name]} for name in wanted]
        unknown = [key for key in keys if key.casefold() not in names]
        return {"configurationKey": entries} | ({"unknownKey": unknown} if unknown else {})

    def change(self, key: str, value: str) -> str:
        """Answer ChangeConfiguration: Accepted, Rejected or NotSupported."""
        names = {name.casefold(): name for name in self._values}
        if key.casefold() == SECRET_KEY.casefold():
            return "Rejected"
        name = names.get(key.casefold())
        if name is None:
            return "NotSupported"
        if name not in WRITABLE or (name in NUMBERS and not value.isdecimal()):
            return "Rejected"
        if name == "MeterValuesSampledData" and not set(value.split(",")) <= self._known:
            return "Rejected"
        self._values[name] = value
        return "Accepted"
