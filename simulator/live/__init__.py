"""The live night: vehicles, chargers and provider APIs on the simulated clock."""
