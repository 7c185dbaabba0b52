"""Plans: charge-by-departure plans of a site, with reasons and the evidence they rest on."""
