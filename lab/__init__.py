"""Configurations compared so that the answer can be believed.

    experiment.py   a TOML file → what is compared, checked, with an error's line
    schedule.py     blocks, shuffled orders, what is queued again, the time it takes
    arms.py         one arm up: its address, its processes, what its server says of its options;
                    copies.py starts it, locally or in containers, servers.py knows the servers
                    (each is an executable in lab/servers/), uwsgi_http.py builds one of them
    canary.py       the stack's app with a known cost, which an experiment must find
    load.py         Locust in a process of its own: rotation, open loop, closed loop
    plan.py         what load.py asks of it, and the schedules that a seed gives
    generator.py    the locustfile; conductor.py tells its users when to send what, with timer.py,
                    connection.py (one keep-alive connection), tally.py (what became of requests)
    histogram.py    latencies in µs, mergeable over blocks
    counters.py     CPU time, context switches, memory, read from outside
    eagain.py       accepts that found nothing, where perf may look
    reloading.py    a reload under load: failures and the longest stall
    machine.py      the conditions: kernel, cores, versions, stolen time
    trial.py        the record of a trial and the table of its figures
    gates.py        which trials must not be believed, by rules that cannot see the arm
    estimate.py     from trials to ratios with intervals; scalability.py to a law
    verdict.py      trials → verdict.json; answer.py says it in a sentence
    facts.py        claims that are true or false on a real uWSGI; claims.py judges published ones
    results.py      results/<experiment>/<time>/: plan.json, trials.jsonl, latest
    report/         verdict.json → report.html, report.md
    measure.py      one arm under one load: a trial
    compare.py      runs it all; interrupts.py stops it

`python -m lab compare thunder-lock`, or `make compare EXPERIMENT=thunder-lock`.
"""
