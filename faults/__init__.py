"""Breaks a copy of the stack in each known way and reports what its users see: `make faults`.

    fault.py     what a row of the table is
    workers.py stores.py machine.py crowds.py   the faults, by what is broken
    catalogue.py their order in the table
    app.py       the app under test: the stack's own, with views that hang, loop and eat memory
    stage.py     a copy of the stack, and what a fault may do to it
    users.py     people who keep using it and remember what it acknowledged
    trial.py     one fault, from quiet through the fault to quiet
    report.py    results/faults/<time>-<number>/faults.json and faults.md

Deletable. Nothing else needs it.
"""
