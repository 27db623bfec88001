"""How venues other than Binance spot word a market: subscriptions, frames, refusals and REST answers. Pure."""
