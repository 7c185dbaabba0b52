"""Configuration: sites, connectors, vehicles, duties and source contracts, as the files say."""
