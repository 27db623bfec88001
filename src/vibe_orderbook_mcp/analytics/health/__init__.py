"""How tradable the market is now, against its usual state. Pure."""
