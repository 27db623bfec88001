"""Rebuilding the books of a recording by the rule of its venue, and comparing them with what it says of them."""
