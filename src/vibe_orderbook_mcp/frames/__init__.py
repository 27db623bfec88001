"""Files with the frames of an exchange: how their lines are read, and whose frames they are."""
