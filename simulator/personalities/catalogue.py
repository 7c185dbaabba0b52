"""The personalities, as data: the independent stations that were observed, then the worst quirks of the field.

Sources are public: the implementations themselves, and issue threads named as project#number.
"""

from typing import Final

from simulator.personalities.traits import ALL_PURPOSES, DEFAULT, MAXIMUM, TRANSACTION, Personality

ALL_VERSIONS: Final = ("1.6", "2.0.1", "2.1")

OBSERVED: Final = (
    Personality(
        name="libocpp",
        about="the reference: certified, stacks and converts as the standard says, 42 periods",
        versions=ALL_VERSIONS,
        offers={"2.1": ("ocpp2.1", "ocpp2.0.1")},
        periods_told=42,
        max_periods=42,
    ),
    Personality(
        name="tfocpp",
        about="amperes only, 5 periods, levels up to 3, kWh per phase, no TriggerMessage",
        units_told="Current",
        units=("A",),
        periods_told=5,
        max_periods=5,
        level_told=3,
        max_level=3,
        meter="kWh per phase",
        triggers=False,
    ),
    Personality(
        name="microocpp-1.2",
        about="watts only, composite schedules without their boundaries; in 2.0.1 no smart charging",
        versions=("1.6", "2.0.1"),
        units_told="Power",
        units=("W",),
        composite="boundaries lost",
        counts_default_when_idle=False,
        not_implemented_in=("2.0.1",),
    ),
    Personality(
        name="microocpp-dev",
        about="`chargingSchedule` for `schedule`, refuses the station maximum, clears whatever it is asked to",
        versions=("2.0.1",),
        purposes=frozenset({DEFAULT, TRANSACTION}),
        clearing="always accepted",
        composite="old name",
        counts_default_when_idle=False,
    ),
    Personality(
        name="shiv3",
        about="any transaction id will do; fractional startPeriod; boots at every reconnect",
        versions=ALL_VERSIONS,
        transaction_check="none",
        composite="fractional",
        boots_on_reconnect=True,
    ),
    Personality(
        name="sap-4.11",
        about="composite schedules ignore the maximum; in 2.0.1 smart charging is claimed and not implemented",
        versions=("1.6", "2.0.1"),
        composite="no maximum",
        not_implemented_in=("2.0.1",),
    ),
    Personality(
        name="solidstudio",
        about="the liar: accepts everything, does nothing; dies of an answer that it did not expect",
        versions=ALL_VERSIONS,
        transaction_check="none",
        follows=False,
        clearing="always accepted",
        composite="no schedule",
        dies_on_unknown_id=True,
    ),
)

QUIRKS: Final = (
    Personality(
        name="default-only",
        about="TxDefaultProfile alone is taken (lbbrhzn/ocpp#221, #312, #1703)",
        purposes=frozenset({DEFAULT}),
    ),
    Personality(
        name="maximum-only",
        about="ChargePointMaxProfile alone is taken",
        purposes=frozenset({MAXIMUM}),
    ),
    Personality(
        name="level-0-only",
        about="says 3 levels, takes level 0 alone (lbbrhzn/ocpp#1737, evcc#15493)",
        level_told=3,
        max_level=0,
    ),
    Personality(
        name="no-levels",
        about="says and takes level 0 alone (evcc#4957)",
        level_told=0,
        max_level=0,
    ),
    Personality(
        name="level-0-stays",
        about="a profile at level 0 is set but cannot be cleared: Unknown (go-eCharger-API-v2#187)",
        clearing="level 0 stays",
    ),
    Personality(
        name="load-balancer-off",
        about="a site setting rejects every profile (lbbrhzn/ocpp#877)",
        refuses_profiles=True,
    ),
    Personality(
        name="phases-ignored",
        about="numberPhases 1 is applied to three phases (go-eCharger#154, evcc#14899)",
        ignores_phases=True,
    ),
    Personality(
        name="sticks-at-zero",
        about="after a pause the next limit is ignored (go-eCharger#155, evcc#14348)",
        sticks_at_zero=True,
    ),
    Personality(
        name="past-start-only",
        about="starts only schedules that have begun; its clock is 45 s slow (evcc#16430)",
        needs_past_start=True,
        clock_skew_s=-45.0,
    ),
    Personality(
        name="fast-clock",
        about="its clock is 45 s ahead",
        clock_skew_s=45.0,
    ),
    Personality(
        name="quoted-keys",
        about="keys in capitals, values in quotes, `W` for `Power`",
        units_told="W",
        units=("W",),
        keys_are_quoted=True,
    ),
    Personality(
        name="kilo-unsaid",
        about="kWh labelled Wh, kW labelled W (OpenEVSE#703, evcc#19420)",
        meter="kilo without saying so",
    ),
    Personality(
        name="meter-numbers",
        about="meter values as numbers where 1.6 wants text (mobilityhouse/ocpp#353)",
        meter="numbers",
    ),
    Personality(
        name="meter-empty",
        about="an empty sampledValue before each real one (lbbrhzn/ocpp#466)",
        versions=("1.6", "2.0.1"),
        meter="empty first",
    ),
    Personality(
        name="meter-no-unit",
        about="meter values without any unit (lbbrhzn/ocpp#1989)",
        versions=("2.0.1",),
        meter="no unit",
    ),
    Personality(
        name="register-only",
        about="MeterValuesSampledData takes the energy register alone; all-or-nothing",
        meter="register only",
    ),
    Personality(
        name="no-subprotocol",
        about="sends no Sec-WebSocket-Protocol (steve#135, #1109)",
        offers={"1.6": ()},
    ),
    Personality(
        name="version-hopper",
        about="1.6 and 2.0.1 in turns, connection by connection (lbbrhzn/ocpp#2008)",
        versions=("1.6", "2.0.1"),
        hops=True,
    ),
    Personality(
        name="half-open",
        about="comes back while its old socket still stands (ocpp-go#314, SmartEVSE#202)",
        keeps_old_socket=True,
    ),
    Personality(
        name="composite-too-high",
        about="reports its hardware as composite schedule (everest-demo#90)",
        composite="hardware",
    ),
    Personality(
        name="composite-missing",
        about="GetCompositeSchedule is not supported",
        composite="not supported",
    ),
    Personality(
        name="slow-answers",
        about="answers a profile call after its time-out",
        answer_delay_s=0.7,
    ),
    Personality(
        name="minus-one",
        about="ends its transactions under the id -1 (libocpp#495)",
        ends_under_minus_one=True,
    ),
)

PERSONALITIES: Final = {one.name: one for one in (*OBSERVED, *QUIRKS)}

assert all(one.purposes <= ALL_PURPOSES for one in PERSONALITIES.values())
