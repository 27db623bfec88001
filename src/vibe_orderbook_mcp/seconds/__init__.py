"""Events into the row of each second: what rested, what was traded, what was added and removed. Pure."""
