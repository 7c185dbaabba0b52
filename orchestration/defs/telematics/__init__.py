"""Telematics: what vehicles say, through whichever provider."""
