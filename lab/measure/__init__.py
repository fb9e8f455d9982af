"""Measures the trials of a plan. Nothing is judged here.

testbed.py         starts arms, applies loads, reads counters → trials
running_arm.py     one arm: address, processes, options as reported, counters
instances.py       a copy of the stack, as processes or in containers
trees.py           copies of the repository for arms with files of their own
server_options.py  what a running server reports about its options
uwsgi_http.py      compiles the uWSGI with the HTTP router
load.py            passes a plan (load_plan.py) to Locust and returns the results
generator.py       the locustfile; conductor.py assigns requests to its users, with timer.py,
                   connection.py and tally.py
own_locustfile.py  the load of somebody's own Locust file
why.py             system calls, page faults and a profile of an arm
histogram.py       latencies in µs that can be merged
counters.py        CPU time, context switches and memory of processes
eagain.py          accepts without a connection, where perf is allowed
reloading.py       a reload under load
machine.py         the machine, and what was taken from it during a trial
facts.py           yes-or-no claims, tried on a real uWSGI
interrupts.py      Ctrl-C, handled once
"""
