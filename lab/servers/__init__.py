"""How each server of a comparison is started: an executable each, for `lab.measure.running_arm`."""
