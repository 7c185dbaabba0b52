"""Training: weekly fits of a site's forecasts."""
