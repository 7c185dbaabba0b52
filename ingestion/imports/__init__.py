"""History from files: one module per set, one registry of sets, one way to land them.

Here live the traps of real data sets and what is made of them. A set's reader is pure; nothing here asks a network. The
sets are listed in ``formats``, the steps that are equal for all in ``importing``.
"""

from ingestion.imports.formats import FORMATS
from ingestion.imports.importing import ImportReport, import_path

__all__ = ["FORMATS", "ImportReport", "import_path"]
