"""The closed forms agree with sums, a Markov chain and textbook cases; the simulation with them."""

import math
import random

import pytest

from deploy.plan import many_machines, queueing


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (3, 2.0), (10, 6.0), (40, 38.5)])
def test_erlang_c_is_its_definition(servers: int, load: float) -> None:
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    below = sum(load**k / math.factorial(k) for k in range(servers))
    assert queueing.erlang_c(servers, load) == pytest.approx(last / (below + last), rel=1e-9)


def test_known_values() -> None:
    # Three servers and two Erlang: 4/9. Ten servers and six Erlang: the curve reads 0.10.
    assert queueing.erlang_c(3, 2.0) == pytest.approx(4 / 9)
    assert queueing.erlang_c(10, 6.0) == pytest.approx(0.1013, abs=0.0001)
    # One server: an arrival waits if the server is busy.
    assert queueing.erlang_c(1, 0.7) == pytest.approx(0.7)
    # Far more servers than a factorial of a float allows.
    assert 0 < queueing.erlang_c(2000, 1990.0) < 1


def test_a_markov_chain_has_the_same_mean() -> None:
    servers, rate, service = 4, 7.0, 0.5
    weights = [1.0]
    for jobs in range(1, 3000):
        weights.append(weights[-1] * rate * service / min(jobs, servers))
    waiting = sum(max(0, n - servers) * w for n, w in enumerate(weights)) / sum(weights)
    assert queueing.mean_wait(servers, rate, service) == pytest.approx(waiting / rate)  # Little


def test_one_server() -> None:
    # M/M/1: the answer takes an exponential time of mean 1 / (rate of service - rate).
    rate, service = 3.0, 0.25
    assert service + queueing.mean_wait(1, rate, service) == pytest.approx(1 / (1 / service - rate))
    p99 = queueing.percentile(1, rate, service, 0.99)
    assert p99 == pytest.approx(math.log(100) / (1 / service - rate))
    # M/D/1 waits half as long.
    equal = queueing.mean_wait(1, rate, service, variation=0)
    assert equal == pytest.approx(queueing.mean_wait(1, rate, service) / 2)


def test_a_percentile_where_the_general_formula_divides_by_zero() -> None:
    # servers - load is 1.
    near = queueing.percentile(3, 2.0 - 1e-6, 1.0, 0.9)
    assert queueing.percentile(3, 2.0, 1.0, 0.9) == pytest.approx(near, rel=1e-4)


def test_saturation_never_ends() -> None:
    assert queueing.erlang_c(2, 2.0) == 1
    assert queueing.mean_wait(2, 4.0, 0.5) == math.inf
    assert queueing.percentile(2, 4.0, 0.5, 0.5) == math.inf
    assert queueing.exceeds(2, 4.0, 0.5, 1000) == 1


def test_servers_for_is_the_smallest_number() -> None:
    found = queueing.servers_for(7.3, 0.01)
    assert queueing.erlang_c(found, 7.3) <= 0.01 < queueing.erlang_c(found - 1, 7.3)


@pytest.mark.parametrize("variation", [0.0, 0.5, 1.0])
def test_the_simulation_has_the_mean_of_the_formula(variation: float) -> None:
    def cpu(source: random.Random) -> many_machines.Draw:
        return many_machines.varying(source, 0.5, variation)

    times = many_machines.answers(rate=5.6, machines=1, cores=4, cpu=cpu, seed=3)
    expected = 0.5 + queueing.mean_wait(4, 5.6, 0.5, variation)
    assert sum(times) / len(times) == pytest.approx(expected, rel=0.05)


def test_the_simulation_has_the_percentiles_of_the_formula() -> None:
    times = many_machines.answers(
        rate=5.6, machines=1, cores=4, cpu=lambda it: many_machines.varying(it, 0.5, 1.0), seed=3
    )
    for share in (0.5, 0.9, 0.99):
        expected = queueing.percentile(4, 5.6, 0.5, share)
        assert many_machines.share_of(times, share) == pytest.approx(expected, rel=0.08), share


def test_machines_share_the_arrivals_and_one_redis() -> None:
    times = many_machines.answers(
        rate=60.0,
        machines=3,
        cores=2,
        cpu=lambda it: many_machines.varying(it, 0.06, 1.0),
        redis=lambda it: many_machines.varying(it, 0.01, 1.0),
        wait=0.2,
        seed=5,
    )
    expected = 0.06 + queueing.mean_wait(2, 20.0, 0.06) + 0.2
    expected += 0.01 + queueing.mean_wait(1, 60.0, 0.01)
    assert sum(times) / len(times) == pytest.approx(expected, rel=0.05)


def test_a_seed_repeats_a_simulation() -> None:
    def run(seed: int) -> list[float]:
        return many_machines.answers(
            rate=1.0,
            machines=2,
            cores=1,
            cpu=lambda it: many_machines.varying(it, 0.5, 1.0),
            requests=500,
            seed=seed,
        )

    assert run(1) == run(1) != run(2)
