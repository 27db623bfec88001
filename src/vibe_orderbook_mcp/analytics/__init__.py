"""Figures as free functions over books, rows and trades: what all questions share. Pure."""
