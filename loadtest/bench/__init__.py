"""What a session and a login cost: ratios of CPU time, measured so that they can be believed.

    rivals.py      the same protected view as most people would build it, with Flask-Session
    sessions.py    in one process: our sessions against the signed cookie
    views.py       behind nginx and uWSGI: protected against bare, ours against the rival
    slices.py      moves the load from arm to arm and reads the CPU clocks in between

Ratios and their intervals are those of the lab (loadtest/lab/estimate.py).

`python -m loadtest.bench` runs them all and writes results/bench/latest/bench.json.
"""
