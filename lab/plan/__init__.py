"""What an experiment compares, and what is measured when. Nothing is started here.

experiment.py       the model: arms, loads, the primary figure, claims, budgets
experiment_file.py  a TOML file → an Experiment; every fault with its line
arms.py             the description of an arm
servers.py          the servers that an arm can name
canary.py           apps with a known additional cost
schedule.py         blocks, random orders, repeated trials, expected time
"""
