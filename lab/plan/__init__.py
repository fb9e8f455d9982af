"""What an experiment compares, and what is measured when. Nothing is started here.

experiment.py       the model: arms, loads, the primary figure, claims, budgets
experiment_file.py  a TOML file → an Experiment; every fault with its line
arms.py             the description of an arm
sources.py          the commits of arms that have files of their own
two_refs.py         the experiment of two commits, and its exit codes
traffic.py          requests of one's own, or those of nginx's log
servers.py          the servers that an arm can name
canary.py           apps with a known additional cost
schedule.py         blocks, random orders, repeated trials, expected time
"""
