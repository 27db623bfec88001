"""Figures as free functions over books, rows and trades. Pure, like `core`."""
