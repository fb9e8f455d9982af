"""Compares configurations of the stack.

    plan/           what is compared: the experiment's file, arms, loads, canaries, the schedule
    measure/        makes trials: starts arms, applies loads, reads counters
    judge/          gates, estimates, verdicts, the answer, claims, budgets
    report/         verdict.json → report.html, report.md, pictures, the terminal
    trial.py        the record of a trial and its metrics; every room may import it
    runs.py         results/<experiment>/<time>/: plan.json, trials.jsonl, verdict.json
    compare.py      conducts a run: measures, voids, repeats, stores
    cli.py          the command line
    servers/        one executable per server
    experiments/    one TOML file per experiment
    results/        published results

A room imports only rooms above it. `make compare EXPERIMENT=thunder-lock` runs an experiment.
"""
