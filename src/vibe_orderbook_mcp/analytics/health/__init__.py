"""How well the market can be traded now, against what is usual. Pure."""
