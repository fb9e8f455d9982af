"""The faults of an experiment's file are reported with their line and what is allowed."""

from pathlib import Path

import pytest

from lab.plan.experiment import Budget, Claim
from lab.plan.experiment_file import ExperimentError, find, line_of, parse, read

GOOD = """\
# A file with everything in it.
question = "Does it?"
primary  = { metric = "wakeups", load = "one client" }
baseline = "off"
canary   = "wake_1"
[loads]
"one client" = { kind = "rotation", rounds = 10 }
"30 %" = { kind = "open", rate = "30%", seconds = 3 }
full = { kind = "closed", users = 32, seconds = 3 }
ladder = { kind = "closed", users = [1, 2], seconds = 1 }
"chain" = { kind = "reload", how = "chain", rate = 100 }
[arms]
off = { STACK_THUNDER_LOCK = "off" }
on = { STACK_THUNDER_LOCK = "on" }
[arms.rival]
server = "uwsgi"
app = "lab.servers.rivals:create_app()"
login = "/login"
[expect]
on = "faster"
[claims]
size = { says = "it costs 20 %", source = "a page", arm = "on", against = "off", load = "full", metric = "rps", ratio = 0.8, note = "n" }
side = { says = "it helps", source = "a page", arm = "off", against = "on", load = "full", metric = "rps", ratio = "<1", stand_in = "cpu_us" }
fact = { says = "it is so", source = "a page", fact = "harakiri-kills" }
[budgets]
wakes = { arm = "on", load = "one client", metric = "wakeups", limit = 2 }
extra = { arm = "on", against = "off", load = "full", metric = "pss_mb", per = 3, limit = 8.5 }
"""  # noqa: E501


def test_a_correct_file_is_read() -> None:
    experiment = parse(GOOD, "mine/locks.toml")
    assert experiment.name == "locks"
    assert (experiment.primary_metric, experiment.primary_load) == ("wakeups", "one client")
    assert experiment.margin == 0.05
    assert [(arm.name, arm.against, arm.role) for arm in experiment.arms] == [
        ("off", "", "arm"),
        ("on", "off", "arm"),
        ("rival", "off", "arm"),
        ("off (twin)", "off", "twin"),
        ("off (wake_1)", "off", "canary"),
        ("off (wake_2)", "off", "canary"),
    ]
    twin, canary, _ = experiment.arms[-3:]
    assert twin.settings == {"STACK_THUNDER_LOCK": "off"}
    assert canary.settings == {**twin.settings, "STACK_APP": "lab.plan.canary:wake_1()"}
    rival = experiment.arm("rival")
    assert rival.settings == {"STACK_APP": "lab.servers.rivals:create_app()"}
    assert rival.login == "/login"
    assert experiment.load("30 %").rate == "30%"
    assert experiment.load("chain").rate == 100.0


def test_claims_and_budgets_are_read() -> None:
    experiment = parse(GOOD, "x.toml")
    assert experiment.claims["side"] == Claim(
        "it helps", "a page", "off", "on", "full", "rps", "<1", stand_in="cpu_us"
    )
    assert experiment.claims["fact"].fact == "harakiri-kills"
    assert experiment.budgets == (
        Budget("wakes", "on", "one client", "wakeups", 2.0),
        Budget("extra", "on", "full", "pss_mb", 8.5, against="off", per=3),
    )


def test_a_list_of_users_becomes_a_load_each() -> None:
    loads = parse(GOOD, "x.toml").loads
    ladder = [(load.name, load.users) for load in loads if load.name.startswith("ladder")]
    assert ladder == [("ladder, 1 user", 1), ("ladder, 2 users", 2)]


def test_controls_take_part_in_every_load_that_they_change() -> None:
    experiment = parse(GOOD, "x.toml")
    roles = {
        load.name: {arm.role for arm in experiment.arms_under(load)} for load in experiment.loads
    }
    assert roles.pop("chain") == {"arm", "twin"}, "no reload shows a wake-up"
    assert all(of_load == {"arm", "twin", "canary"} for of_load in roles.values())


@pytest.mark.parametrize(
    ("right", "wrong", "line", "said"),
    [
        ('"Does it?"', '" "', 2, "question = ' ': must be a text that is not empty"),
        ('"Does it?"', "4", 2, "question = 4"),
        ("question ", "qestion ", 2, "'qestion' is not a valid key, did you mean question?"),
        ("wakeups", "wakeup", 3, "'wakeup' is not a valid metric, did you mean wakeups?"),
        ("wakeups", "failed", 3, "'failed' is not a valid metric"),
        ("wakeups", "p99_ms", 3, "a load of kind rotation has no p99_ms; it has cpu_us"),
        ("load =", "under =", 3, "'under' is not a valid key; allowed: metric, load"),
        ('load = "one client"', 'load = "one"', 3, "'one' is not a valid load"),
        ('= "off"\ncanary', '= "of"\ncanary', 4, "'of' is not a valid baseline, did you mean off?"),
        ("wake_1", "wake", 5, "canary = 'wake': must be burn_<µs>, burn_<percent>%, wake_"),
        ("wake_1", "sleep_1", 5, "canary = 'sleep_1'"),
        ("wake_1", "wake_5%", 5, "canary = 'wake_5%'"),
        ("wake_1", "burn_5%", 5, "canary = burn_5% does not change the primary metric wakeups"),
        ('"rotation"', '"rotate"', 7, "'rotate' is not a valid kind, did you mean rotation?"),
        ("rounds", "seconds", 7, "'seconds' is not a valid key"),
        ("rounds = 10", "rounds = 1", 7, "rounds = 1: must be a whole number from 2 to 1,000,000"),
        ("rounds = 10", "users = true", 7, "users = True: must be a whole number from 1"),
        ("rounds = 10", "eagain = 1", 7, "eagain = 1: must be true or false"),
        ("rounds = 10", 'path = "here"', 7, 'must be a path that begins with "/"'),
        ('"30%"', '"30"', 8, 'from "1%" to "100%"'),
        ('"30%"', '"130%"', 8, "rate = '130%'"),
        ('"30%"', "-3", 8, "rate = -3: must be requests per second, such as 100"),
        ('rate = "30%", ', "", 8, "rate is missing in loads 30 %"),
        ("users = 32", "requests = 500", 9, "seconds and requests: one of them"),
        ("users = 32, seconds = 3", "seconds = 0", 9, "seconds = 0: must be a number above 0"),
        ("[1, 2]", "[1, 0]", 10, "users = 0: must be a whole number from 1"),
        ('"chain", rate', '"chains", rate', 11, "'chains' is not a valid how, did you mean chain"),
        ('{ STACK_THUNDER_LOCK = "off" }', "4", 13, "must be a table"),
        (
            'STACK_THUNDER_LOCK = "on"',
            'ref = "-x"',
            14,
            "ref = '-x': must be a commit, branch or tag",
        ),
        ('STACK_THUNDER_LOCK = "on"', "env = { STACK_X = 1 }", 14, "STACK_X cannot be a variable"),
        ('STACK_THUNDER_LOCK = "on"', "env = { x = 1 }", 14, "x cannot be a variable of the app"),
        ('STACK_THUNDER_LOCK = "on"', "env = { A = [1] }", 14, "must be a table such as"),
        ('STACK_THUNDER_LOCK = "on"', 'nginx = "gzip off"', 14, 'directives, such as "gzip off;"'),
        ('STACK_THUNDER_LOCK = "on"', 'python = "python0"', 14, "there is no such program"),
        ('STACK_THUNDER_LOCK = "on"', 'requirements = "no.txt"', 14, "No such file"),
        ('STACK_THUNDER_LOCK = "on"', 'requirements = ["-r x"]', 14, "'-r x' is no pin"),
        ('STACK_THUNDER_LOCK = "on"', 'setup = "x"', 14, 'a list, such as ["flask seed"]'),
        ('STACK_THUNDER_LOCK = "on"', 'server = "granian", ref = "."', 14, "ref is for the server"),
        ('LOCK = "on"', 'LOCK = "onn"', 14, "STACK_THUNDER_LOCK='onn': must be on or off"),
        ('LOCK = "on"', 'LOK = "on"', 14, "STACK_THUNDER_LOK: no such setting; did you mean"),
        ('LOCK = "on"', 'LOCK = "on", STACK_PORT = 1', 14, "STACK_PORT: the lab sets it itself"),
        ('LOCK = "on"', 'LOCK = "on", agianst = "off"', 14, "did you mean against? allowed: "),
        ('LOCK = "on"', 'LOCK = "on", against = "on"', 14, "against = 'on': must be another arm"),
        (
            'LOCK = "on"',
            'LOCK = "on", ini = ["cheap"]',
            14,
            "must be a list of lines for uwsgi.ini",
        ),
        ('"uwsgi"', '"uwsgi-http"\nini = ["x = 1"]', 17, "uwsgi-http does not read uwsgi.ini"),
        ('"uwsgi"', '"uwsgi-http"\nSTACK_SOCKET = "tcp"', 17, "uwsgi-http does not support"),
        ('THUNDER_LOCK = "on"', 'PROCESSES = "auto"', 14, "STACK_PROCESSES: must be a number"),
        ('"uwsgi"', '"uwsgi-htp"', 16, "did you mean uwsgi-http?"),
        ('"uwsgi"', '"waitress"', 11, "the lab reloads uwsgi only; other servers have rival"),
        ('LOCK = "on"', 'LOCK = "on", server = "granian"', 14, "granian does not support"),
        ("[1, 2]", "[2, 2]", 6, "two loads are called 'ladder, 2 users'"),
        ('"wakeups"', '"eagain"', 3, "eagain is counted only where 'one client' has eagain = true"),
        ("rivals:create_app()", "rivals", 17, "STACK_APP='lab.servers.rivals': must be module:"),
        ('"/login"', '"enter"', 18, "login = 'enter': must be \"none\" or a path"),
        ('on = "faster"', 'onn = "faster"', 20, "'onn' is not a valid arm, did you mean on?"),
        ('"faster"', '"better"', 20, "'better' is not a valid verdict; allowed: faster, slower"),
        ("[expect]", "[expect", 19, "not TOML"),
        ('arm = "on", against', 'arm = "onn", against', 22, "'onn' is not a valid arm"),
        ('load = "full"', 'load = "ful"', 22, "'ful' is not a valid load"),
        ('"rps"', '"failed"', 22, "'failed' is not a valid metric"),
        ('"rps"', '"stall_ms"', 22, "a load of kind closed has no stall_ms"),
        (
            "ratio = 0.8",
            'ratio = "half"',
            22,
            "ratio = 'half': must be a number such as 0.8, 1 for",
        ),
        ("ratio = 0.8", "ratio = 0", 22, "ratio = 0: must be a number"),
        ("ratio = 0.8", "ratio = true", 22, "ratio = True: must be a number"),
        ("ratio = 0.8", "rato = 0.8", 22, "'rato' is not a valid key, did you mean ratio?"),
        ("ratio = 0.8, ", "", 22, "ratio is missing in claims size"),
        ('"it costs 20 %"', '" "', 22, "says = ' ': must be a text"),
        ('against = "off", load', 'against = "rival", load', 22, "'on' is not compared with"),
        ('stand_in = "cpu_us"', 'stand_in = "cpu"', 23, "'cpu' is not a valid stand_in"),
        ('fact = "harakiri-kills"', 'fact = "harakiri"', 24, "did you mean harakiri-kills?"),
        ('"harakiri-kills"', '"harakiri-kills", ratio = 1', 24, "'ratio' is not a valid key"),
        ("rounds = 10", 'arms = ["on"]', 7, "the primary load needs the baseline among its arms"),
        ("rounds = 10", 'arms = ["onn"]', 7, "'onn' is not a valid arm, did you mean on?"),
        ("rounds = 10", 'arms = ["off"]', 26, "'on' is not among the arms of 'one client'"),
        ("limit = 2", "limit = 0", 26, "limit = 0: must be a number above 0"),
        (", limit = 2", "", 26, "limit is missing in budgets wakes"),
        ("per = 3", "per = 0.5", 27, "per = 0.5: must be a whole number"),
        ('"pss_mb"', '"start"', 27, "'start' is not a valid metric"),
    ],
)
def test_a_fault_is_reported_with_its_line(right: str, wrong: str, line: int, said: str) -> None:
    assert right in GOOD
    with pytest.raises(ExperimentError) as error:
        parse(GOOD.replace(right, wrong, 1), "locks.toml")
    told = [text for text in str(error.value).splitlines() if f"locks.toml, line {line}" in text]
    assert any(said in text for text in told), str(error.value)


def test_all_faults_are_reported_in_the_order_of_the_file() -> None:
    wrong = GOOD.replace("wake_1", "wake").replace('"faster"', '"better"').replace("30%", "30")
    with pytest.raises(ExperimentError) as error:
        parse(wrong, "locks.toml")
    lines = [
        int(text.split(",")[1].split()[1].rstrip(":")) for text in str(error.value).splitlines()
    ]
    assert lines == [5, 8, 20]


def test_missing_keys_are_named() -> None:
    with pytest.raises(ExperimentError) as error:
        parse("", "empty.toml")
    for key in ("question", "primary", "baseline", "canary", "loads", "arms"):
        assert f"empty.toml: {key} is missing" in str(error.value)


def test_a_single_arm_is_no_comparison() -> None:
    lonely = GOOD[: GOOD.index("on = {")]
    with pytest.raises(ExperimentError, match="compares with nothing"):
        parse(lonely, "lonely.toml")


def test_shares_of_two_capacities_are_refused() -> None:
    two = GOOD.replace("rate = 100", 'rate = "10%", path = "/workload/bare"')
    with pytest.raises(ExperimentError, match="shares of one capacity need one path"):
        parse(two, "x.toml")


def test_a_line_is_found_after_values_of_several_lines() -> None:
    text = 'a = """\nb = 1\n"""\n\n# b\nb = [\n  1,\n]\n[c.d]\ne = 1\n'
    assert line_of(text, ("b",)) == 6
    assert line_of(text, ("c", "d", "e")) == 10
    assert line_of(text, ("c", "d")) == 9
    assert line_of(text, ("f",)) is None


def test_an_unknown_experiment_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError) as error:
        find("thunderlock")
    assert "did you mean thunder-lock?" in str(error.value)
    for name in ("lazy-apps", "servers", "sessions", "shapes"):
        assert name in str(error.value)
    with pytest.raises(ExperimentError, match=r"no experiment .*gone\.toml"):
        find(str(tmp_path / "gone.toml"))


def test_a_binary_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "binary.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ExperimentError, match=r"binary\.toml"):
        read(file)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ('["on", "of"]', "line 6: 'of' is not a valid arm, did you mean off?"),
        ('["on", "rival"]', "line 6: answer = ['on', 'rival']: 'on' is not compared with 'rival'"),
        ('["on"]', 'line 6: answer = [\'on\']: must be two arms, such as ["on", "off"]'),
    ],
)
def test_the_answer_names_an_arm_and_what_it_is_compared_with(names: str, said: str) -> None:
    good = GOOD.replace("[loads]", 'answer = ["on", "off"]\n[loads]', 1)
    assert parse(good, "mine.toml").answer == ("on", "off")
    with pytest.raises(ExperimentError) as caught:
        parse(good.replace('["on", "off"]', names, 1), "mine.toml")
    assert said in str(caught.value)
