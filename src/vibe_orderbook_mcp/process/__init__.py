"""The process and its machine: settings, log, signals, files, outgoing connections."""
