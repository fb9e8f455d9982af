"""From trials to verdict.json.

gates.py        the rules that void a trial
overload.py     the trials in which a server did not keep up
estimate.py     statistics on log ratios
comparison.py   pairs the trials of two arms into a row of verdict.json
looks.py        intervals of a run that stops when it knows
verdict.py      verdicts, controls, the exit code
answer.py       the result in one sentence
claims.py       published claims, judged by the verdict
budgets.py      budgets, judged by the verdict
numbers.py      numbers as text
"""
