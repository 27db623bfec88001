"""What the process is to its machine: settings, log, signals, files, outgoing connections."""
