"""The README is true: its commands run, its paths exist, its tests' command is the one that CI calls."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A fenced block: its language, empty where commands are shown, and its text."""
SECRETS = ("DEPOTWISE_RFMS_TOKEN", "DEPOTWISE_GEOTAB_USER", "DEPOTWISE_GEOTAB_PASSWORD", "DEPOTWISE_BRIDGE_TOKEN")


def shown_commands() -> list[str]:
    blocks = (text for language, text in BLOCK.findall(README) if not language)
    lines = (line.split("  #")[0].strip() for text in blocks for line in text.splitlines())
    return [line for line in lines if line.startswith(("depotwise ", "make "))]


def commands_about(word: str) -> list[str]:
    return [command for command in shown_commands() if word in command]


def run(command: str, *, home: Path, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    program, *arguments = shlex.split(command)
    assert program == "depotwise"
    secrets = dict.fromkeys(SECRETS, "a secret for tests")
    return subprocess.run(
        [sys.executable, "-m", "orchestration.cli", *arguments],
        cwd=cwd,
        env=os.environ | secrets | {"DEPOTWISE_HOME": str(home), "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_every_shown_command_has_a_test() -> None:
    tested = ("make demo", "make test", "init", "check", "run nightly", "import", "sql", "backtest")
    assert [command for command in shown_commands() if not any(word in command for word in tested)] == []


@pytest.mark.slow
def test_a_depot_of_ones_own(tmp_path: Path) -> None:
    """The commands of `Your own depot`; nobody answers at the starter's addresses, and a plan is made all the same."""
    for command in commands_about("my-depot"):
        done = run(command, home=tmp_path / "home", cwd=tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "home" / "published" / "marts.duckdb").exists()
    assert (tmp_path / "home" / "reports" / "operations.html").exists()


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.usefixtures("shared_dir")
@pytest.mark.parametrize(
    ("fmt", "says", "answers"),
    [("carta", "22338 rows read", "carta:140"), ("sap", "11824 rows read", "SAP-Mougins")],
)
def test_imports_and_their_queries(fmt: str, says: str, answers: str, tmp_path: Path) -> None:
    imported, asked = next(
        pair for pair in zip(shown_commands(), shown_commands()[1:], strict=False) if f"--format {fmt}" in pair[0]
    )
    done = run(imported, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert says in done.stdout
    answer = run(asked, home=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert answers in answer.stdout


@pytest.mark.data
@pytest.mark.usefixtures("shared_dir")
def test_the_backtest(tmp_path: Path) -> None:
    [command] = commands_about("backtest")
    done = run(command, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "→" in done.stdout


def test_links_and_paths_exist() -> None:
    links = re.findall(r"\]\(((?!http)[^)#]+)\)", README) + re.findall(r"`([a-z_]+(?:/[a-z_]+)*/)`", README)
    assert len(links) > 10
    assert [link for link in links if not (REPOSITORY / link).exists()] == []


def test_continuous_integration_calls_the_command_that_the_readme_shows() -> None:
    script = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    assert "make test" in script
    assert "DEPOTWISE_REQUIRE=browser,data,npm,openssl" in script
    assert any(command.startswith("make test") for command in shown_commands())


@pytest.mark.parametrize(
    "target", ["install", "demo", "test", "ui", "check", "lint", "types", "imports", "bench", "soak"]
)
def test_make_knows_its_targets(target: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", target], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() or target == "install"


def test_help_teaches_every_command() -> None:
    done = run("depotwise --help", home=REPOSITORY / "data" / "home")
    for command in (
        "demo",
        "init",
        "check",
        "run",
        "import",
        "plan",
        "forecast",
        "bridge",
        "sql",
        "ui",
        "replay",
        "size",
        "override",
    ):
        assert re.search(rf"│ {command} +\S", done.stdout), command
