"""The command line: ``python3 -m lab compare EXPERIMENT``, ``experiments``, ``repeat``, ``report``,
``bench``, ``pages``, ``quotes``, ``reloads``.

Exit codes: 0 as declared, 1 a declared expectation or a budget failed, 2 usage, 3 untrustworthy or
not decided, 130 interrupted. Those of ``compare --a REF --b REF`` are for ``git bisect run``: see
lab.plan.two_refs.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import shlex
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from lab import compare, reloads, repeated, series
from lab.judge import claims, gates, looks, power, verdict
from lab.measure import eagain, facts, machine, testbed, trees
from lab.measure.interrupts import interrupts
from lab.plan import schedule, two_refs
from lab.plan.experiment import MOST, Experiment, Load
from lab.plan.experiment_file import (
    ExperimentError,
    find,
    known,
    parse,
    read,
    require_commits,
    shown,
)
from lab.plan.servers import SERVERS
from lab.report import markdown, quotes, stale, tables, write
from lab.report.data import RunData
from lab.report.terminal import Terminal, show
from lab.runs import FACTS, REPORT, RESULTS, Plan, ResultsError, Run, latest, newest
from lab.trial import TrialFailed
from loadtest.latest import new_folder, point_to
from stack import dotenv
from stack.checkout import CHECKOUT
from stack.errors import StackError
from stack.progress import Progress
from toggles.closed_pipe import quiet_exit

# verdict.exit_code() has the others.
USAGE, UNTRUSTWORTHY, INTERRUPTED = 2, 3, 130

# Instead of a number of blocks.
AUTO = "auto"

PUBLISHED, README = Path("lab/results"), Path("lab/README.md")
# The experiment of `bench`.
BUDGETS = "budgets"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command of *arguments* and return its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    of_two_commits = any(word.split("=")[0] == "--b" for word in given)
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as error:
        raise SystemExit(two_refs.USAGE if of_two_commits and error.code else error.code) from None
    try:
        with interrupts.handled():
            job: int = options.job(options)
    except (ExperimentError, ResultsError) as error:
        for line in str(error).splitlines():
            print(f"{options.command}: {line}", file=sys.stderr)
        return two_refs.USAGE if of_two_commits else USAGE
    except KeyboardInterrupt:
        print(f"\n{options.command}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception:
        # Python's own exit code would be 1, which says that the commit is slower.
        if not of_two_commits:
            raise
        traceback.print_exc()
        return two_refs.CANNOT_TELL
    return job


def run(options: argparse.Namespace) -> int:
    """`compare`: run an experiment or continue it, judge it, and report."""
    file, text = _file_and_text(options)
    blocks = _number_of_blocks(options)
    new = _plan(parse(text, str(file)), text, file, blocks, options)
    _check_runtime(new, options.runtime)
    folder = None if options.fresh else latest(new.experiment, options.results)
    unfinished = _unfinished(folder)
    others = _differences(unfinished.plan, new, options.seed) if unfinished else []
    continued = None if others else unfinished
    work = continued or Run.create(new, options.results)
    if continued and not work.plan.chosen and new.minutes is not None:
        work.save_plan(replace(work.plan, minutes=new.minutes))
    experiment = experiment_of(work.plan)
    left = schedule.seconds_left(experiment, work.plan.blocks, work.trials)
    print(compare.describe(experiment, work, left))
    if continued:
        print(f"Continues with {len(work.trials)} trials done. FRESH=1 starts a new run.")
    elif unfinished:
        print(f"{unfinished.folder} is not continued because of other {', '.join(others)}.")
    if blocks < schedule.FEWEST_BLOCKS and not options.rehearsal:
        print(f"{blocks} blocks decide nothing: with fewer than 6, p cannot be below 0.05.")
    print(flush=True)

    progress = Progress.to_terminal()
    bench = testbed.Testbed(options.runtime, work.folder / "locust")
    began = time.monotonic()
    try:
        with work.held():
            runner = compare.Runner(
                experiment,
                work,
                bench,
                gates,
                progress,
                forecast=None if new.auto else power.forecast,
                knows=verdict.knows if new.auto else None,
                enough_blocks=power.enough_blocks,
            )
            runner.run()
    except KeyboardInterrupt:
        progress.clear()
        print(f"\nStopped; no process is left. The same command continues in {work.folder}.")
        return INTERRUPTED
    except (compare.RunFailed, StackError) as error:
        progress.clear()
        print(f"compare: {error}", file=sys.stderr)
        return two_refs.CANNOT_TELL if options.b else UNTRUSTWORTHY
    if options.why:
        _explain(experiment, work, bench, progress)
    print(f"  took {compare.duration(time.monotonic() - began)}")
    try:
        code = _conclude(experiment, work)
        return _comment(work, options) if options.b else code
    except KeyboardInterrupt:
        print(f"\nStopped after the last trial: make report EXPERIMENT={experiment.name}")
        return INTERRUPTED


def _explain(experiment: Experiment, work: Run, bench: testbed.Testbed, progress: Progress) -> None:
    """WHY=1: find out where the cost of each arm comes from; a failure is printed."""
    found = {}
    load = experiment.load(experiment.primary_load)
    for arm in experiment.arms_under(load):
        if arm.role == "arm":
            progress.step(f"why: {arm.name}")
            try:
                found[arm.name] = bench.why(arm, load, progress.detail)
            except TrialFailed as error:
                progress.step(f"why: {arm.name} could not be measured: {error}")
    progress.clear()
    work.save_why(found)


def _number_of_blocks(options: argparse.Namespace) -> int:
    """Raises ExperimentError if two options contradict each other."""
    if options.minutes is not None and (options.blocks or options.quick):
        raise ExperimentError("MINUTES= chooses the number of blocks: leave out BLOCKS and QUICK")
    if options.blocks == AUTO:
        return looks.MOST_BLOCKS
    usual = schedule.QUICK_BLOCKS if options.quick else schedule.DEFAULT_BLOCKS
    return int(options.blocks or (schedule.REHEARSED_BLOCKS if options.rehearsal else usual))


def _file_and_text(options: argparse.Namespace) -> tuple[Path, str]:
    """The experiment's file and its text, which is right. Raises ExperimentError."""
    if options.a or options.b:
        if not (options.a and options.b) or options.experiment:
            raise ExperimentError("two commits are A=main B=my-branch, without EXPERIMENT")
        app = options.app or dotenv.read(CHECKOUT / ".env", {}).get("STACK_APP", "")
        text = two_refs.text(options.a, options.b, app=app, path=options.url, login=options.login)
        file = Path(f"{two_refs.name(options.a, options.b)}.toml")
        require_commits(parse(text, file.name), text, file.name)
        return file, text
    if not options.experiment:
        raise ExperimentError(
            f"name an experiment: EXPERIMENT={'|'.join(known())}, or two commits: A=main B=branch"
        )
    file = find(options.experiment)
    read(file)  # its faults are reported before a folder is made
    return file, file.read_text(encoding="utf-8")


def _comment(work: Run, options: argparse.Namespace) -> int:
    """Write and print the comment for the pull request; return the code for git bisect."""
    run = RunData.read(work.folder)
    code = two_refs.exit_code(
        trustworthy=run.trustworthy, verdicts=[o.verdict for o in run.primary if o.role == "arm"]
    )
    file = work.folder / "comment.md"
    file.write_text(markdown.comment(run), encoding="utf-8")
    print(f"\n{file.read_text(encoding='utf-8')}")
    what = {0: f"{options.b} is not slower", 1: f"{options.b} is slower"}
    print(f"Exit code {code}: {what.get(code, 'this run cannot tell')}. The comment is {file}.")
    return code


def report(options: argparse.Namespace) -> int:
    """`report`: judge and render a run again."""
    if options.experiment:
        name = Path(options.experiment).stem
        folder = latest(name, options.results)
        missing = f"{name} has not been run: make compare EXPERIMENT={name}"
    else:
        folder = newest(options.results)
        missing = "nothing has been run yet: make compare EXPERIMENT=thunder-lock"
    if folder is None:
        raise ResultsError(missing)
    work = Run.open(folder)
    if work.plan.finished is None:
        print("This run is incomplete: the same `make compare` continues it.")
    if not work.trials:
        raise ResultsError(f"{folder} holds no trial yet")
    code = _conclude(experiment_of(work.plan), work)
    if options.publish:
        if work.plan.rehearsal:
            raise ResultsError("a rehearsal has no figures to publish")
        print(f"published {markdown.publish(folder, PUBLISHED)}")
        stale.write(README, PUBLISHED, CHECKOUT)
    if options.open:
        return serve(folder)
    return code


def pages(_: argparse.Namespace) -> int:
    """`pages`: list the published pages in lab/README.md, the stale ones as stale."""
    stale.write(README, PUBLISHED, CHECKOUT)
    print(f"{README} lists the pages of {PUBLISHED}")
    return 0


def experiments(options: argparse.Namespace) -> int:
    """`experiments`: run all published experiments, or those named, one after the other."""
    names = options.experiments or known()
    results = options.results / "rehearsal" if options.rehearsal else options.results
    items = []
    for name in names:
        comparing = ["compare", name, "--rehearsal" if options.rehearsal else "--minutes=1"]
        alone = _parser().parse_args([f"--results={results}", *comparing])
        file, text = _file_and_text(alone)
        plan = _plan(parse(text, str(file)), text, file, _number_of_blocks(alone), alone)
        items.append(series.Item(experiment_of(plan), plan, results))
    if options.publish and options.rehearsal:
        raise ExperimentError("a rehearsal has no figures to publish: leave out PUBLISH")
    if options.publish and str(items[0].plan.conditions.get("revision")).endswith("-dirty"):
        raise ExperimentError(
            "the published pages name a commit: commit your changes first, or leave out PUBLISH"
        )
    try:
        whole = series.Series(
            items,
            hours=options.hours,
            publish=options.publish,
            fresh=options.fresh,
            rehearsal=options.rehearsal,
        )
    except series.SeriesError as error:
        raise ExperimentError(str(error)) from None
    try:
        whole.run()
    finally:
        code = whole.show(Terminal())
    return code


def quote(options: argparse.Namespace) -> int:
    """`quotes`: compare the figures that documents quote with their pages; write the new ones."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("file", "text", "has", "the page has"):
        table.add_column(name, overflow="fold")
    left = changed = 0
    every = quotes.read(CHECKOUT / quotes.QUOTES)
    for state in quotes.states(every, CHECKOUT, CHECKOUT / PUBLISHED):
        if state.is_right:
            continue
        writes = options.write and not state.fault
        if writes:
            quotes.write(state, CHECKOUT)
        changed, left = changed + writes, left + (not writes)
        found = state.fault or ", ".join(state.page)
        table.add_row(str(state.quote.file), state.quote.text, ", ".join(state.now), found)
    Terminal().print(table, markup=False)
    print(
        f"{len(every)} quotes: {len(every) - left - changed} as on their pages, {changed} written"
    )
    if left:
        print(f"{left} to do. `python3 -m lab quotes --write` writes figures; words are yours.")
    return 1 if left else 0


def serve(folder: Path) -> int:
    """Serve *folder* on loopback until Ctrl-C."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        print(f"http://127.0.0.1:{server.server_port}/{REPORT}  (Ctrl-C stops it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing, so that the address stays visible."""


def experiment_of(plan: Plan) -> Experiment:
    """The experiment as planned, independent of later changes to its file."""
    experiment = replace(parse(plan.toml, plan.file, plan.files), seed=plan.seed)
    if plan.cost_us is not None:
        experiment = experiment.with_cost(plan.cost_us)
    if plan.rehearsal:
        return schedule.rehearsed(experiment)
    return schedule.shortened(experiment) if plan.quick else experiment


def _conclude(experiment: Experiment, work: Run) -> int:
    """Judge the run, write the report and print the answer; return the exit code."""
    found = verdict.of(experiment, work.trials, work.plan.conditions, auto=work.plan.auto)
    needed, file = claims.facts_needed(experiment.claims), work.folder / FACTS
    known_facts = facts.gather(needed, file, Progress.to_terminal().step) if needed else {}
    verdict.add_lists(found, experiment, known_facts)
    work.save_verdict(found)
    page = write(work.folder)
    show(found, Terminal())
    if experiment.budgets:
        code = _conclude_budgets(found, work)
    else:
        code = verdict.exit_code(found, quick=work.plan.quick)
    last = "" if work.plan.refs else f"{closing(found, code, quick=work.plan.quick)} "
    if work.plan.rehearsal:
        last = "A rehearsal: its figures say nothing. "
    print(f"\n{last}The report is {page}.")
    return code


def closing(found: Mapping[str, Any], code: int, *, quick: bool) -> str:
    """What the exit code means, as a whole sentence."""
    if not found["trustworthy"]:
        return f"Exit code {code}: the run is untrustworthy, so do not use its figures."
    if code == UNTRUSTWORTHY:
        return f"Exit code {code}: the run is believed, but it does not decide what was asked."
    if code:
        return f"Exit code {code}: the run is believed, and what was declared did not come true."
    if quick:
        return "The run is believed. It was a quick one, which decides large effects only."
    return "The run is believed."


def _conclude_budgets(found: Mapping[str, Any], work: Run) -> int:
    """Print the rows; `bench` also writes results/bench/<time>/bench.json. Return the exit code."""
    rows = found["budgets"]
    Terminal().print(_budget_table(rows), markup=False)
    if work.plan.experiment == BUDGETS:
        _write_bench(found, work)
    if not found["trustworthy"]:
        return UNTRUSTWORTHY
    return 0 if all(row["met"] for row in rows) else 1


def _write_bench(found: Mapping[str, Any], work: Run) -> None:
    content = {
        "rows": found["budgets"],
        **{key: found[key] for key in ("trustworthy", "why", "conditions")},
        "run": str(work.folder),
    }
    folder = new_folder(work.folder.resolve().parents[1] / "bench")
    file = folder / "bench.json"
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    point_to(folder)
    print(f"\n{shown(file)}")


def _budget_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    content = tables.budgets(rows)
    table = Table(box=None, pad_edge=False, header_style="bold", title="Budgets")
    for number, name in enumerate(content.head):
        table.add_column(name, justify="right" if number in content.numbers else "left")
    for row in content.rows:
        table.add_row(*row)
    return table


def _unfinished(folder: Path | None) -> Run | None:
    """The run in *folder* if it is incomplete."""
    found = Run.open(folder) if folder else None
    return found if found is not None and found.plan.finished is None else None


def _differences(old: Plan, new: Plan, seed: int | None) -> list[str]:
    """Why *old* cannot be continued as *new*. Without a given *seed* the old one is kept."""
    return old.differences(new) + ["seed"] * (seed not in (None, old.seed))


def _plan(
    experiment: Experiment, text: str, file: Path, blocks: int, options: argparse.Namespace
) -> Plan:
    return Plan(
        experiment=experiment.name,
        toml=text,
        file=shown(file),
        seed=options.seed or experiment.seed or time.time_ns() % 1_000_000,
        blocks=blocks,
        auto=options.blocks == AUTO,
        quick=options.quick,
        runtime=options.runtime,
        capacity_rps=None,
        conditions=_conditions(experiment),
        servers={
            name: {
                "command": server.command(),
                "speaks": server.speaks,
                "keep-alive": server.keep_alive,
                "note": server.note,
            }
            for name, server in SERVERS.items()
            if name in {arm.server for arm in experiment.arms}
        },
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        arms=[asdict(arm) for arm in experiment.arms],
        loads=[_plain(load) for load in experiment.loads],
        files=experiment.files,
        refs=_command_of_refs(options) if options.b else "",
        minutes=options.minutes,
        rehearsal=options.rehearsal,
    )


def _plain(load: Load) -> dict[str, Any]:
    """For plan.json: the traffic as its routes, because the toml has it in full."""
    routes = load.traffic.routes() if load.traffic else {}
    return {**asdict(replace(load, traffic=None)), "traffic": list(routes)}


def _command_of_refs(options: argparse.Namespace) -> str:
    given = {name: getattr(options, name) for name in ("a", "b", "app", "url", "login")}
    words = [f"{name.upper()}={shlex.quote(value)}" for name, value in given.items() if value]
    return " ".join(["make compare", *words])


def _conditions(experiment: Experiment) -> dict[str, Any]:
    found = machine.conditions()
    refs = {arm.ref: arm.ref for arm in experiment.arms if arm.ref}
    if refs:
        found["refs"] = {ref: trees.resolved(ref) for ref in refs}
    if any(load.eagain for load in experiment.loads):
        found["eagain"] = eagain.missing() or "counted by perf"
    return found


def _check_runtime(plan: Plan, runtime: str) -> None:
    if runtime == "compose" and (others := sorted(set(plan.servers) - {"uwsgi"})):
        raise ExperimentError(
            f"{plan.experiment} compares {', '.join(others)}, which only the local runtime has: "
            "RUNTIME=local"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m lab", allow_abbrev=False)
    parser.add_argument("--results", type=Path, default=RESULTS, help="default: %(default)s")
    commands = parser.add_subparsers(
        dest="command",
        required=True,
        metavar="compare|experiments|repeat|report|bench|pages|quotes|reloads",
    )
    comparing = commands.add_parser("compare", help="run an experiment", allow_abbrev=False)
    comparing.add_argument("experiment", nargs="?", help="a name, or the path of a .toml file")
    comparing.add_argument("--a", metavar="REF", help="compare two commits: the older one")
    comparing.add_argument("--b", metavar="REF", help="and the newer one; '.': the working tree")
    comparing.add_argument("--app", help="of two commits: module:callable (default: that of .env)")
    comparing.add_argument("--url", help="of two commits: the path that is requested")
    comparing.add_argument("--login", help="of two commits: 'none', or a path that sets a cookie")
    comparing.set_defaults(job=run)
    benching = commands.add_parser("bench", help=f"run {BUDGETS}", allow_abbrev=False)
    benching.set_defaults(job=run, experiment=BUDGETS, a=None, b=None)
    for command in (comparing, benching):
        command.add_argument(
            "--blocks",
            type=_blocks,
            help=f"fresh starts of every arm (default: {schedule.DEFAULT_BLOCKS}), or {AUTO}: as "
            f"many as settle everything, at most {looks.MOST_BLOCKS}",
        )
        command.add_argument("--runtime", choices=("local", "compose"), default="local")
        command.add_argument(
            "--quick",
            action="store_true",
            help=f"{schedule.QUICK_BLOCKS} blocks, and a third of every load: large effects only",
        )
        command.add_argument(
            "--minutes",
            type=_positive,
            help="choose the blocks after the first three: as many as make a correct run trusted "
            f"95 times in 100, {compare.LEAST_CHOSEN} to {compare.MOST_CHOSEN}, in this time",
        )
        command.add_argument(
            "--rehearsal", action="store_true", help="start everything, measure nothing"
        )
        command.add_argument(
            "--seed", type=_seed, help="for orders and arrivals (default: the file's, or a new one)"
        )
        command.add_argument(
            "--why", action="store_true", help="show system calls, faults and a profile of each arm"
        )
        command.add_argument(
            "--fresh", action="store_true", help="do not continue an interrupted run"
        )
    reporting = commands.add_parser("report", help="render a run again", allow_abbrev=False)
    reporting.add_argument("experiment", nargs="?", help="default: the newest run")
    reporting.add_argument("--open", action="store_true", help="serve it on loopback")
    reporting.add_argument("--publish", action="store_true", help=f"copy it to {PUBLISHED}")
    reporting.set_defaults(job=report)
    running = commands.add_parser(
        "experiments", help="run all published experiments, unattended", allow_abbrev=False
    )
    running.add_argument("experiments", nargs="*", help="default: all of lab/experiments")
    running.add_argument(
        "--hours", type=_positive, default=3.0, help="the time for all (default: %(default)g)"
    )
    running.add_argument("--publish", action="store_true", help="publish each page when it is done")
    running.add_argument("--fresh", action="store_true", help="also run those that are complete")
    running.add_argument(
        "--rehearsal", action="store_true", help="start every arm of each, measure nothing"
    )
    running.set_defaults(job=experiments)
    listing = commands.add_parser("pages", help="mark the published pages that are stale")
    listing.set_defaults(job=pages)
    repeating = commands.add_parser(
        "repeat", help=f"run {repeated.FILE} often, and count how often it is right"
    )
    repeating.add_argument("--times", type=int, default=20, help="default: %(default)s")
    repeating.add_argument("--publish", action="store_true", help=f"write {repeated.PAGE}")
    repeating.set_defaults(job=repeated.run)
    quoting = commands.add_parser(
        "quotes", help="compare the figures in documents with their pages", allow_abbrev=False
    )
    quoting.add_argument("--write", action="store_true", help="write the figures of the pages")
    quoting.set_defaults(job=quote)
    reloading = commands.add_parser("reloads", help="reload under load, often", allow_abbrev=False)
    reloading.add_argument("case", nargs="?", choices=reloads.CASES, help="default: each")
    reloading.add_argument("--reloads", type=int, default=100, help="of a case (default: 100)")
    reloading.set_defaults(job=reloads.run)
    return parser


def _blocks(text: str) -> int | str:
    if text == AUTO:
        return text
    if text.isascii() and text.isdigit() and 2 <= int(text) <= schedule.MOST_BLOCKS:
        return int(text)
    raise argparse.ArgumentTypeError(
        f"{text!r}: must be a whole number from 2 to {schedule.MOST_BLOCKS}, or {AUTO}"
    )


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if 0 < number < MOST:
        return number
    raise argparse.ArgumentTypeError(f"{text!r}: must be a number above 0")


def _seed(text: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text) <= MOST:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number from 1 to {MOST:,}")


if __name__ == "__main__":
    with quiet_exit():
        sys.exit(main())
