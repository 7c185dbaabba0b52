"""The configuration: sites, sources, connectors, vehicles, tokens, assignments and duties.

``load_registry`` reads a folder and gives a frozen ``Registry`` or one ``ConfigurationError`` with every mistake.
"""
