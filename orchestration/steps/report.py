"""Writes the operations page: one file with all sites, as known at an instant."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from core.settings import Settings
from orchestration.steps.workplace import Workplace
from reporting.loading import load_view, write_page
from reporting.operations import build_page
from reporting.summary import comparison_of
from reporting.view import OperationsView, Span


def page_path(settings: Settings) -> Path:
    """Return where the operations page lies."""
    return settings.reports_dir / "operations.html"


def site_views(workplace: Workplace, *, as_of: datetime, span: Span | None = None) -> list[OperationsView]:
    """Return the view of every configured site as of an instant."""
    sites = [site.site_id for site in workplace.registry.sites]
    return [load_view(workplace.landing, site_id=site_id, as_of=as_of, span=span) for site_id in sites]


def write_operations_page(
    workplace: Workplace, *, as_of: datetime, span: Span | None = None, run: Mapping[str, Any] | None = None
) -> Path:
    """Write the page of all sites; with a run's document, what other ways to charge would have cost stands on it."""
    views = site_views(workplace, as_of=as_of, span=span)
    path = page_path(workplace.settings)
    write_page(path, build_page(*views, comparison=None if run is None else comparison_of(run)))
    return path
