"""The demonstration from end to end: make a depot, start its programs, run the jobs, let a night pass, sum it up."""

import os
import secrets
import shutil
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.status import Status

from core.files import write_text_atomic
from core.settings import Settings
from orchestration.demo.clock_drive import DrivenClock
from orchestration.demo.night import NightLog, live_through
from orchestration.demo.scenario import Scenario
from orchestration.demo.services import Service, run_program
from orchestration.instance import spare_syncs
from orchestration.jobs import RunRecord, run_job
from orchestration.steps.night import night_result
from orchestration.steps.report import write_operations_page
from orchestration.steps.run_document import RunFacts, rows_of, run_document
from orchestration.steps.workplace import Workplace
from reporting.view import Span

MARKER = ".depotwise-demo"
RATE = 1800.0
"""Simulated seconds per second while time runs: a quarter of an hour passes in half a second.

What programs do in between takes real time: the faster the clock, the later a charger seems to follow its plan.
"""

SECRETS = (
    "DEPOTWISE_RFMS_TOKEN",
    "DEPOTWISE_GEOTAB_USER",
    "DEPOTWISE_GEOTAB_PASSWORD",
    "DEPOTWISE_BRIDGE_TOKEN",
    "DEPOTWISE_HASH_KEY",
    "DEPOTWISE_STATION_SECRET",
)


class DemoHomeError(RuntimeError):
    """The home folder holds something that is not a demo's."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """Size and seed of the simulated depots, and how fast their time runs."""

    vehicles: int
    days: int
    seed: int
    rate: float = RATE


def run_demo(settings: Settings, options: DemoOptions, *, console: Console | None) -> dict[str, Any]:
    """Run the demonstration and return its ``depotwise.run/1`` document.

    Raises:
        DemoHomeError: the home folder is in use for something else.
        orchestration.demo.services.ServiceError: one of the programs failed.
    """
    begin = time.monotonic()
    home = _empty_home(settings)
    _set_secrets(home)
    spare_syncs()
    with _progress(console) as say:
        say(f"Making {options.vehicles} vehicles and {options.days} days of history")
        scenario = _prepare(home, options)
        workplace = Workplace(Settings(home=home, config=scenario.config_dir))
        os.environ["DEPOTWISE_CONFIG"] = str(scenario.config_dir)
        clock = DrivenClock(scenario.clock_file, scenario.start_at, options.rate)
        clock.hold()
        with ExitStack() as running:
            _start(running, scenario, home, say)
            say("Nightly job: data, forecasts, plans, publication, marts")
            records = _nightly(workplace, clock.now)
            log = live_through(workplace, clock, until=scenario.end_at, progress=NightProgress(say, scenario))
            say("The night is over: data, marts, report")
            records += run_job("report", settings=workplace.settings, as_of=clock.now)
        say("Comparing with uncontrolled charging and simple rules")
        return _summed_up(workplace, scenario, records, log, begin)


def _summed_up(
    workplace: Workplace, scenario: Scenario, records: list[RunRecord], log: NightLog, begin: float
) -> dict[str, Any]:
    """Judge the night by what happened, and put the comparison on the page."""
    span = Span(scenario.start_at, scenario.end_at)
    nights = [
        night_result(workplace, site_id=site.site_id, begin=span.start_at, end=span.end_at)
        for site in workplace.registry.sites
    ]
    rows = Counter(rows_of(records))
    rows.update(log.rows)
    facts = RunFacts("demo", span.end_at, records[-1].run_id, time.monotonic() - begin, rows)
    document = run_document(workplace, facts, nights)
    write_operations_page(workplace, as_of=span.end_at, span=span, run=document)
    return document


def _nightly(workplace: Workplace, as_of: datetime) -> list[RunRecord]:
    return run_job("nightly", settings=workplace.settings, as_of=as_of, needs_training=True)


def _empty_home(settings: Settings) -> Path:
    """Return the home folder, empty but for the marker; an earlier demo is deleted, anything else refused."""
    home = settings.home.resolve()
    if home.exists() and any(home.iterdir()) and not (home / MARKER).exists():
        raise DemoHomeError(
            f"{settings.home} holds data that no demo made; choose another folder: depotwise --home FOLDER demo"
        )
    shutil.rmtree(home, ignore_errors=True)
    write_text_atomic(home / MARKER, "Made by depotwise demo, which deletes this folder when it runs again.\n")
    return home


def _set_secrets(home: Path) -> None:
    """Invent the secrets that are not in the environment; only child processes see them."""
    for name in SECRETS:
        os.environ.setdefault(name, secrets.token_hex(16))
    os.environ["DEPOTWISE_HOME"] = str(home)


def _prepare(home: Path, options: DemoOptions) -> Scenario:
    folder = home / "depot"
    run_program(
        [
            *("-m", "simulator", "prepare", "--out", str(folder), "--port-base", str(_free_ports())),
            *("--vehicles", str(options.vehicles), "--days", str(options.days), "--seed", str(options.seed)),
        ],
        env={},
    )
    return Scenario.read(folder)


def _free_ports(span: int = 40) -> int:
    """Return the first of a run of ports that are free on loopback, below the range that outgoing sockets use."""
    for base in range(9400, 30000, span):
        if all(_is_free(base + offset) for offset in (0, 1, 10, 11, 20, 21)):
            return base
    raise DemoHomeError("no free ports on 127.0.0.1; end the programs that hold them")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _start(running: ExitStack, scenario: Scenario, home: Path, say: "Say") -> None:
    say("Starting the bridges and the simulated depots")
    logs = home / "logs"
    services = [
        Service(
            path.stem,
            ["ocpp_bridge", "--config", str(path)],
            ready="bridge ready",
            log=logs / f"{path.stem}.log",
            env={},
        )
        for path in scenario.bridge_configs
    ]
    serve = ["simulator", "serve", "--dir", str(scenario.folder), "--clock", str(scenario.clock_file)]
    services.append(Service("simulator", serve, ready="simulator ready", log=logs / "simulator.log", env={}))
    for service in services:
        running.enter_context(service)
        service.wait_ready()


class Say:
    """Tells the person who waits what happens; silent without a console."""

    def __init__(self, status: Status | None, console: Console | None) -> None:
        self._status, self._console, self._begin = status, console, time.monotonic()

    def __call__(self, text: str) -> None:
        """Say what is begun now, with the seconds so far."""
        if self._console is not None:
            self._console.print(f"[dim]{time.monotonic() - self._begin:6.1f} s[/]  {text}")
        self.update(text)

    def update(self, text: str) -> None:
        """Change the line that is being worked on."""
        if self._status is not None:
            self._status.update(text)


@contextmanager
def _progress(console: Console | None) -> Iterator[Say]:
    with console.status("Demo") if console is not None else nullcontext() as status:
        yield Say(status, console)


@dataclass(frozen=True, slots=True)
class NightProgress:
    """Shows the simulated time and what has been planned."""

    say: Say
    scenario: Scenario

    def __call__(self, now: datetime, log: NightLog) -> None:
        """Show the present instant."""
        local = now.astimezone(self.scenario.zone)
        plans = sum(log.plans.values())
        accepted = log.profiles["accepted"] + log.profiles["verified"]
        self.say.update(f"{local:%a %H:%M} at the depots: {plans} plans, {accepted} profiles acknowledged")
