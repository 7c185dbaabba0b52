"""Model cards as people read them in Dagster."""

from orchestration.steps.model_cards import model_cards


def figures(mae: float | None) -> dict[str, object]:
    return {"mae": mae, "p90_ae": 2.0, "pinball": 0.25, "coverage": {"80": 81.0, "90": 90.5}, "width_90": 4.0}


def test_a_card_names_the_decision_and_every_forecaster_best_first() -> None:
    promotion = {"promoted": "vehicle_median", "reason": "quantile_trees does not surely beat vehicle_median"}
    card = {
        "target": "return_at",
        "unit": "hours",
        "promotion": promotion,
        "judged_rows": 200,
        "judged_from": "2026-01-01T00:00:00Z",
        "forecasts": {"quantile_trees": figures(1.5), "vehicle_median": figures(1.25), "never_fitted": figures(None)},
        "by_hours_left": {
            "12": {"mae": 1.0, "width_90": 4.0, "coverage_90": 90.0, "rows": 50},
            "1": {"mae": None, "width_90": None, "coverage_90": None, "rows": 0},
        },
    }
    lines = model_cards([card]).splitlines()
    assert lines[0] == "### `return_at` is forecast by **vehicle_median**"
    assert promotion["reason"] in lines[2]
    assert [line.split("|")[1].strip() for line in lines if "81.0" in line] == ["vehicle_median", "quantile_trees"]
    assert "| 12 | 1.00 | 4.0 | 90.0 | 50 |" in lines
    assert not any(line.startswith("| 1 |") for line in lines), "nobody was asked so near the return"
