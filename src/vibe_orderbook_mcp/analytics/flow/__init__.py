"""Who trades: aggressors, delta, toxicity, impact, absorption. Pure."""
