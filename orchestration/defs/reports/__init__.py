"""Reports: what people read in the morning."""
