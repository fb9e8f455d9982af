"""An executable for each server that an arm can name (lab/plan/servers.py), and apps to host."""
