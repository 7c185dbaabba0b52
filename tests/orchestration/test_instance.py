"""How Dagster's run logs are kept."""

from pathlib import Path

from sqlalchemy import Engine, create_engine, event, text

from orchestration import instance


def test_a_demo_spares_the_syncs_of_run_logs_and_nothing_else_does(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'runs.db'}")

    def synchronous() -> int:
        engine.dispose()
        with engine.connect() as connection:
            return int(connection.execute(text("pragma synchronous")).scalar_one())

    waits = synchronous()
    try:
        instance.spare_syncs()
        instance.spare_syncs()
        assert (waits, synchronous()) == (2, 0)
    finally:
        event.remove(Engine, "connect", instance._without_syncs)
    assert synchronous() == waits
