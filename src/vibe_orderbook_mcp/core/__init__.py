"""The pure core: books, their synchronisation, per-second rows. No await, socket, file, clock or environment."""
