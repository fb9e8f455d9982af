"""DESIGN's budgets: ratios of CPU time, and the few figures that have a limit of their own.

    rivals.py      the same protected view as most people would build it
    sessions.py    in one process: our sessions against the signed cookie
    views.py       behind nginx: protected against bare, ours against other sessions and servers;
                   wake-ups, memory, and a reload under load
    inside.py      the bare WSGI call, which serving is compared with
    slices.py      moves the load from arm to arm and reads the CPU clocks in between

`python -m lab.bench` runs them all and writes results/bench/latest/bench.json. How ratios
become an interval is in lab/judge/estimate.py.
"""
