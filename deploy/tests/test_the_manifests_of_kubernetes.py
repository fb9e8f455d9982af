"""The manifests of Kubernetes are valid, as confined as docker-compose.yml, and agree with it.

Two things have no form in a pod, so they are not compared: limits of open files and of processes,
which each node sets.
"""

from __future__ import annotations

import copy
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy.plan.figures import FIGURES
from deploy.tests.manifests import FOLDER, OVERLAYS, Manifest, one, render, templates, validate
from stack.checkout import CHECKOUT
from toggles import TOGGLES
from toggles import read as read_toggles

COMPOSE: Manifest = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text(encoding="utf-8"))
DOCKERFILES = {
    "nginx": "nginx/Dockerfile",
    "app": "uwsgi/Dockerfile",
    "redis": "redis/Dockerfile",
}
CONTAINERS = {"nginx": "web", "app": "web", "redis": "redis"}


@pytest.fixture(scope="module", params=OVERLAYS)
def manifests(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return render(request.param, tmp_path_factory.mktemp("rendered"))


@pytest.fixture(scope="module")
def one_node(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    return render("one-node", tmp_path_factory.mktemp("rendered"))


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    return render("production", tmp_path_factory.mktemp("rendered"))


def container(manifests: list[Manifest], name: str) -> Manifest:
    pod = templates(manifests)[CONTAINERS[name]]["spec"]
    return next(found for found in pod["containers"] if found["name"] == name)


# Valid.


VERSIONS = ["1.35", "1.36", "1.37"]


@pytest.mark.parametrize("version", VERSIONS)
def test_three_versions_of_kubernetes_accept_every_manifest(
    manifests: list[Manifest], version: str
) -> None:
    validate(manifests, version)


def test_these_are_the_newest_versions_whose_schemas_there_are() -> None:
    known = [re.match(r"\d+\.\d+", v)[0] for v in kubernetes_validate.utils.all_versions()]
    assert list(dict.fromkeys(known))[-3:] == VERSIONS


def test_a_field_that_does_not_exist_is_refused(one_node: list[Manifest]) -> None:
    web = copy.deepcopy(one(one_node, "Deployment", "web"))
    web["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(web, "1.37", strict=True)


# Confined.

PodRule = Callable[[Manifest], bool]
POD_RULES: dict[str, PodRule] = {
    "no container may be root": lambda p: p["securityContext"].get("runAsNonRoot") is True,
    "system calls are filtered": lambda p: (
        p["securityContext"].get("seccompProfile") == {"type": "RuntimeDefault"}
    ),
    "it has no token for the cluster": lambda p: p.get("automountServiceAccountToken") is False,
    "no Service sets a variable": lambda p: p.get("enableServiceLinks") is False,
    "it shares nothing with the node": lambda p: (
        not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & p.keys()
    ),
    "it changes no kernel setting": lambda p: "sysctls" not in p["securityContext"],
    "its volumes are of allowed kinds": lambda p: all(
        volume.keys() & {"emptyDir", "secret", "configMap", "persistentVolumeClaim"}
        for volume in p["volumes"]
    ),
    "what it may write is limited": lambda p: all(
        "sizeLimit" in volume["emptyDir"] for volume in p["volumes"] if "emptyDir" in volume
    ),
}
CONTAINER_RULES: dict[str, PodRule] = {
    "the root is read-only": lambda c: c["securityContext"].get("readOnlyRootFilesystem") is True,
    "no capability is left": lambda c: (
        c["securityContext"].get("capabilities") == {"drop": ["ALL"]}
    ),
    "no program gains privileges": lambda c: (
        c["securityContext"].get("allowPrivilegeEscalation") is False
        and not c["securityContext"].get("privileged")
    ),
    "its user is a number": lambda c: c["securityContext"].get("runAsUser", 0) > 10000,
    "memory is limited": lambda c: "memory" in c["resources"].get("limits", {}),
    "the scheduler knows what it needs": lambda c: (
        c["resources"].get("requests", {}).keys() == {"cpu", "memory"}
    ),
    "no port is one of the node": lambda c: all("hostPort" not in p for p in c.get("ports", [])),
    "secrets are files": lambda c: (
        not any(
            re.search("PASSWORD|SECRET|KEY|TOKEN", v["name"]) and not v["name"].endswith("_FILE")
            for v in c.get("env", [])
        )
    ),
}


def faults(found: dict[str, Manifest]) -> set[str]:
    """Return every rule that a template of *found* breaks."""
    broken = set()
    for workload, template in found.items():
        pod = template["spec"]
        broken |= {f"{workload}: {rule}" for rule, holds in POD_RULES.items() if not holds(pod)}
        for each in pod["containers"]:
            broken |= {
                f"{each['name']}: {rule}"
                for rule, holds in CONTAINER_RULES.items()
                if not holds(each)
            }
    return broken


def test_no_rule_is_broken(manifests: list[Manifest]) -> None:
    assert {"web", "migrate"} <= templates(manifests).keys()
    assert faults(templates(manifests)) == set()


POD_BREACHES: dict[str, Callable[[Manifest], object]] = {
    "no container may be root": lambda p: p["securityContext"].pop("runAsNonRoot"),
    "system calls are filtered": lambda p: p["securityContext"].pop("seccompProfile"),
    "it has no token for the cluster": lambda p: p.pop("automountServiceAccountToken"),
    "no Service sets a variable": lambda p: p.pop("enableServiceLinks"),
    "it shares nothing with the node": lambda p: p.update(hostNetwork=True),
    "it changes no kernel setting": lambda p: p["securityContext"].update(sysctls=[]),
    "its volumes are of allowed kinds": lambda p: p["volumes"].append({"hostPath": {}}),
    "what it may write is limited": lambda p: p["volumes"].append({"emptyDir": {}}),
}
CONTAINER_BREACHES: dict[str, Callable[[Manifest], object]] = {
    "the root is read-only": lambda c: c["securityContext"].pop("readOnlyRootFilesystem"),
    "no capability is left": lambda c: c["securityContext"].pop("capabilities"),
    "no program gains privileges": lambda c: c["securityContext"].update(privileged=True),
    "its user is a number": lambda c: c["securityContext"].pop("runAsUser"),
    "memory is limited": lambda c: c["resources"].pop("limits"),
    "the scheduler knows what it needs": lambda c: c["resources"].pop("requests"),
    "no port is one of the node": lambda c: c["ports"].append({"hostPort": 80}),
    "secrets are files": lambda c: c["env"].append({"name": "SECRET_KEY", "value": "x"}),
}


@pytest.mark.parametrize("rule", POD_RULES)
def test_a_pod_that_breaks_a_rule_is_seen(one_node: list[Manifest], rule: str) -> None:
    found = copy.deepcopy(templates(one_node))
    POD_BREACHES[rule](found["web"]["spec"])
    assert faults(found) == {f"web: {rule}"}


@pytest.mark.parametrize("rule", CONTAINER_RULES)
def test_a_container_that_breaks_a_rule_is_seen(one_node: list[Manifest], rule: str) -> None:
    found = copy.deepcopy(templates(one_node))
    CONTAINER_BREACHES[rule](found["web"]["spec"]["containers"][0])
    assert faults(found) == {f"app: {rule}"}


def test_the_namespace_enforces_the_restricted_standard(manifests: list[Manifest]) -> None:
    labels = one(manifests, "Namespace", "stack")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    namespaces = {m["metadata"].get("namespace") for m in manifests if m["kind"] != "Namespace"}
    assert namespaces == {"stack"}


def connections(manifests: list[Manifest]) -> Iterator[tuple[str, str, str, object]]:
    """Yield policy type, pods, peer and port of each connection that a policy allows."""
    for manifest in manifests:
        if manifest["kind"] != "NetworkPolicy":
            continue
        spec = manifest["spec"]
        for kind, way in (("ingress", "from"), ("egress", "to")):
            for rule in spec.get(kind, []):
                # A rule without one of them would allow all.
                for peer in rule[way]:
                    for port in rule["ports"]:
                        for pod in names(spec["podSelector"]):
                            yield kind, pod, described(peer), port["port"]


def names(selector: Manifest) -> list[str]:
    if "matchLabels" in selector:
        return list(selector["matchLabels"].values())
    return list(selector["matchExpressions"][0]["values"])


def described(peer: Manifest) -> str:
    if "ipBlock" in peer:
        return str(peer["ipBlock"]["cidr"])
    parts = [names(peer[key]) for key in ("namespaceSelector", "podSelector") if key in peer]
    return "/".join("+".join(part) for part in parts)


PATH = {
    ("ingress", "web", "ingress-nginx", "http"),
    ("ingress", "web", "monitoring", "metrics"),
    *(("egress", pod, "kube-system/kube-dns", 53) for pod in ("web", "migrate")),
}


def test_the_network_allows_the_path_and_nothing_else(
    one_node: list[Manifest], production: list[Manifest]
) -> None:
    pods = ("web", "migrate")
    assert set(connections(one_node)) == {
        *PATH,
        *(("egress", pod, "redis", "redis") for pod in pods),
        ("ingress", "redis", "web+migrate", "redis"),
    }
    assert set(connections(production)) == {
        *PATH,
        *(("egress", pod, "192.0.2.0/24", port) for pod in pods for port in (6379, 26379)),
    }


def test_the_database_of_an_app_is_reached_by_a_component(
    one_node: list[Manifest], tmp_path: Path
) -> None:
    with_database = render("one-node", tmp_path, "database")
    allowed = {("egress", pod, "198.51.100.0/24", 5432) for pod in ("web", "migrate")}
    assert set(connections(with_database)) - set(connections(one_node)) == allowed
    policy = one(with_database, "NetworkPolicy", "allow-to-database")
    assert policy["metadata"]["namespace"] == "stack"
    kubernetes_validate.validate(policy, "1.37", strict=True)


def test_whatever_no_policy_names_is_denied(manifests: list[Manifest]) -> None:
    assert one(manifests, "NetworkPolicy", "deny-all")["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
    }


# Agrees with docker-compose.yml and the images.


def default(value: object) -> str:
    """Return what Compose makes of *value* where nothing is set."""
    return re.sub(r"\$\{\w+:?-([^}]*)\}", r"\1", str(value))


def size(text: str) -> int:
    """Return bytes: Compose writes 64m and Kubernetes 64Mi."""
    number, unit = re.fullmatch(r"(\d+)([kKMmGg])i?", text).groups()
    return int(number) << {"k": 10, "m": 20, "g": 30}[unit.lower()]


def seconds(text: object) -> int:
    return int(re.fullmatch(r"(\d+)s", str(text))[1])


@pytest.mark.parametrize("name", CONTAINERS)
def test_memory_is_what_compose_gives(one_node: list[Manifest], name: str) -> None:
    limit = container(one_node, name)["resources"]["limits"]["memory"]
    assert size(limit) == size(default(COMPOSE["services"][name]["mem_limit"]))


# The figure of `make plan` for the CPU time of a request in each container.
CPU_US = {"app": "STACK_US", "nginx": "NGINX_US", "redis": "REDIS_US"}
MANIFESTS = {"app": "base/web", "nginx": "base/web", "redis": "overlays/one-node/redis"}
PAGE = (CHECKOUT / "docs" / "scale-out.md").read_text(encoding="utf-8")


def derivation(name: str) -> str:
    """Return the comment above the requests of a container."""
    text = (FOLDER / f"{MANIFESTS[name]}.yaml").read_text(encoding="utf-8")
    container = text.partition(f"        - name: {name}\n")[2]
    found = re.search(r" resources:\n((?: +# .*\n)+) +requests:", container)
    assert found, name
    return " ".join(re.sub(r"^ +# ", "", line) for line in found[1].splitlines())


def row(name: str) -> str:
    """Return the line of the table in docs/scale-out.md."""
    return re.search(rf"^\| `{name}` \|.*$", PAGE, re.MULTILINE)[0]


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_request_of_cpu_is_a_rate_times_the_time_that_was_measured(
    one_node: list[Manifest], name: str
) -> None:
    requests = container(one_node, name)["resources"]["requests"]
    stated = re.match(r"(\d+) requests/s at (\d+) µs are (\d+)m\.", derivation(name))
    rate, us, millicores = map(int, stated.groups())
    assert us == FIGURES[CPU_US[name]].value
    assert millicores == round(rate * us / 1000)
    assert requests["cpu"] == f"{-(-millicores // 10) * 10}m"
    assert f"| {rate} \u00d7 {us} µs = {millicores}m: `{requests['cpu']}` |" in row(name)


def mebibytes(name: str) -> int:
    """Return what the comment says that the memory of a container is."""
    return int(re.search(r"are (\d+)Mi\.", derivation(name))[1])


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_request_of_memory_is_the_stated_sum(one_node: list[Manifest], name: str) -> None:
    requests = container(one_node, name)["resources"]["requests"]
    assert requests["memory"] == f"{-(-mebibytes(name) // 16) * 16}Mi"
    assert f"= {mebibytes(name)}Mi: `{requests['memory']}` |" in row(name)


def test_the_parts_of_these_sums_are_those_of_other_pages(one_node: list[Manifest]) -> None:
    limits = (CHECKOUT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert re.search(r"19 MiB per concurrent password hash \(one fewer than the cores, ", limits)
    assert re.search(r"^\| processes \| 3 \| 10 MB \|", limits, re.MULTILINE)
    assert re.search(r"^\| requests in progress: .* \| 160 kB \|", limits, re.MULTILINE)
    for name, parts in {
        "app": r"(\d+) MB after 20,000 requests, and three password hashes of 19 MiB",
        "nginx": r"Three processes of 10 MB, and 200 requests in progress of 160 kB",
        "redis": "REDIS_MAXMEMORY, and half as much again",
    }.items():
        assert re.search(parts, derivation(name)), name
    measured = int(re.search(r"(\d+) MB after", derivation("app"))[1])
    assert mebibytes("app") == round(measured * 1e6 / 2**20 + 3 * 19)
    assert mebibytes("nginx") == round((3 * 10e6 + 200 * 160e3) / 2**20)
    settings = one(one_node, "ConfigMap", "redis-settings")["data"]
    assert mebibytes("redis") << 20 == 1.5 * size(settings["REDIS_MAXMEMORY"].removesuffix("b"))
    assert f"{measured} MB" in row("app")


LAZY_APPS = CHECKOUT / "lab" / "results" / "lazy-apps.md"


@pytest.mark.skipif(not LAZY_APPS.exists(), reason="this copy has no lab")
def test_the_memory_of_the_app_is_that_of_the_published_run() -> None:
    page = LAZY_APPS.read_text(encoding="utf-8")
    assert "UNTRUSTWORTHY" not in page
    found = re.search(r"^\| lazy \| more \|.* \| (\d+) MB \| preforked \|$", page, re.MULTILINE)
    assert found
    assert f"{found[1]} MB after 20,000 requests" in derivation("app")


@pytest.mark.parametrize("name", CONTAINERS)
def test_users_and_health_checks_are_those_of_the_image(
    one_node: list[Manifest], name: str
) -> None:
    text = (CHECKOUT / DOCKERFILES[name]).read_text(encoding="utf-8")
    context = container(one_node, name)["securityContext"]
    user, group = re.search(r"^USER (\d+):(\d+)$", text, re.MULTILINE).groups()
    assert (context["runAsUser"], context["runAsGroup"]) == (int(user), int(group))
    check = yaml.safe_load(re.search(r"^HEALTHCHECK .*\\\n +CMD (.*)$", text, re.MULTILINE)[1])
    for probe in ("startupProbe", "livenessProbe"):
        command = container(one_node, name)[probe]["exec"]["command"]
        # Lines may be broken elsewhere.
        assert [shlex.split(word) for word in command] == [shlex.split(word) for word in check]


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_sees_the_folders_that_it_has_in_compose(
    one_node: list[Manifest], name: str
) -> None:
    service = COMPOSE["services"][name]
    wanted = {mount.partition(":")[0]: mount for mount in service["tmpfs"]}
    for mount in service.get("volumes", []):
        target = mount["target"] if isinstance(mount, dict) else mount.split(":")[1]
        wanted[target] = ""
    mounts = {m["mountPath"]: m for m in container(one_node, name)["volumeMounts"]}
    # Redis' data is a claim.
    claimed = {"data"} if name == "redis" else set()
    assert mounts.keys() == wanted.keys()
    volumes = {v["name"]: v for v in templates(one_node)[CONTAINERS[name]]["spec"]["volumes"]}
    assert {m["name"] for m in mounts.values()} - volumes.keys() == claimed
    for path in (mount.partition(":")[0] for mount in service["tmpfs"]):
        memory = volumes[mounts[path]["name"]]["emptyDir"]
        assert memory["medium"] == "Memory"
        assert size(memory["sizeLimit"]) == size(
            re.search(r"size=([^,]+)", default(wanted[path]))[1]
        )


def test_nginx_cannot_replace_the_socket(manifests: list[Manifest]) -> None:
    pod = templates(manifests)["web"]["spec"]
    users = {
        each["name"]: mount.get("readOnly", False)
        for each in pod["containers"]
        for mount in each["volumeMounts"]
        if mount["name"] == "socket"
    }
    assert users == {"app": False, "nginx": True}
    volume = next(v for v in pod["volumes"] if v["name"] == "socket")
    assert volume["emptyDir"]["medium"] == "Memory"


def test_only_the_app_reads_the_secrets(manifests: list[Manifest]) -> None:
    pod = templates(manifests)["web"]["spec"]
    secret = {v["name"] for v in pod["volumes"] if "secret" in v}
    readers = {
        (each["name"], mount["mountPath"], mount["readOnly"])
        for each in pod["containers"]
        for mount in each["volumeMounts"]
        if mount["name"] in secret
    }
    folders = ("/secrets/app", "/secrets/redis", "/srv/project/secrets")
    assert readers == {("app", folder, True) for folder in folders}
    assert all(v["secret"]["defaultMode"] == 0o440 for v in pod["volumes"] if "secret" in v)


def test_a_stop_waits_longer_than_the_containers_take(one_node: list[Manifest]) -> None:
    wait = int(container(one_node, "nginx")["lifecycle"]["preStop"]["exec"]["command"][1])
    grace = seconds(COMPOSE["services"]["nginx"]["stop_grace_period"])
    source = (CHECKOUT / "uwsgi" / "generation.py").read_text(encoding="utf-8")
    idle = float(re.search(r"^IDLE_WORKERS_SECONDS = ([\d.]+)$", source, re.MULTILINE)[1])
    pods = templates(one_node)
    assert pods["web"]["spec"]["terminationGracePeriodSeconds"] > wait + grace + idle
    redis = seconds(COMPOSE["services"]["redis"]["stop_grace_period"])
    assert pods["redis"]["spec"]["terminationGracePeriodSeconds"] == redis


def test_a_start_may_take_what_the_settings_allow(manifests: list[Manifest]) -> None:
    probe = container(manifests, "app")["startupProbe"]
    allowed = probe["periodSeconds"] * probe["failureThreshold"]
    assert allowed > int(TOGGLES["STACK_START_TIMEOUT"].default)


def test_readiness_needs_redis_and_liveness_does_not(manifests: list[Manifest]) -> None:
    assert container(manifests, "nginx")["readinessProbe"]["httpGet"]["path"] == "/readyz"
    for name in ("nginx", "app"):
        for probe in ("startupProbe", "livenessProbe"):
            assert "readyz" not in str(container(manifests, name)[probe])
    assert "readinessProbe" not in container(manifests, "app")


def settings(manifests: list[Manifest], name: str) -> dict[str, str]:
    """Return the variables of a container, as Kubernetes sets them."""
    found: dict[str, str] = {}
    each = container(manifests, name)
    for source in each.get("envFrom", []):
        if not source["configMapRef"].get("optional"):
            data = {m["metadata"]["name"]: m for m in manifests if m["kind"] == "ConfigMap"}
            found |= data[source["configMapRef"]["name"]]["data"]
    return found | {v["name"]: v["value"] for v in each.get("env", [])}


def test_settings_are_accepted_and_serve_strangers(manifests: list[Manifest]) -> None:
    values = settings(manifests, "app")
    read = read_toggles({k: v for k, v in values.items() if k.startswith("STACK_")})
    assert read["STACK_DEMO"] == "off"
    assert read["STACK_SOCKET"] == "unix"
    assert read["STACK_TRUSTED_PROXIES"]
    assert read["STACK_BEFORE_START"] == ""
    rule = one(manifests, "Ingress", "web")["spec"]
    assert rule["rules"][0]["host"] == read["STACK_HOSTS"]
    assert rule["tls"][0]["hosts"] == [read["STACK_HOSTS"]]


def test_nginx_and_the_app_meet_at_one_socket_as_in_compose(manifests: list[Manifest]) -> None:
    wanted = COMPOSE["services"]["app"]["environment"]["APP_SOCKET"]
    assert {settings(manifests, name)["APP_SOCKET"] for name in ("nginx", "app")} == {wanted}
    app, nginx = settings(manifests, "app"), settings(manifests, "nginx")
    assert app["APP_LISTEN"] == f"{nginx['APP_HOST']}:{nginx['APP_PORT']}"


def test_one_node_has_redis_at_the_address_of_compose(one_node: list[Manifest]) -> None:
    wanted = COMPOSE["services"]["app"]["environment"]["REDIS_URL"]
    assert settings(one_node, "app")["REDIS_URL"] == wanted


def test_production_has_no_redis_of_its_own(production: list[Manifest]) -> None:
    assert templates(production).keys() == {"web", "migrate"}
    assert (
        settings(production, "app")["REDIS_URL"]
        != COMPOSE["services"]["app"]["environment"]["REDIS_URL"]
    )


# Its parts find each other.


def test_selectors_and_ports_name_what_exists(manifests: list[Manifest]) -> None:
    pods = templates(manifests)
    for manifest in manifests:
        if manifest["kind"] in {"Service", "PodDisruptionBudget"}:
            selector = manifest["spec"]["selector"]
            labels = selector.get("matchLabels", selector)
            matching = [
                n for n, t in pods.items() if labels.items() <= t["metadata"]["labels"].items()
            ]
            assert len(matching) == 1, manifest["metadata"]["name"]
    ports = {
        port["name"]
        for template in pods.values()
        for each in template["spec"]["containers"]
        for port in each.get("ports", [])
    }
    named = {port for *_, port in connections(manifests) if isinstance(port, str)}
    assert named <= ports


def test_a_release_keeps_all_pods_until_new_ones_are_ready(manifests: list[Manifest]) -> None:
    spec = one(manifests, "Deployment", "web")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_pods_are_spread_over_zones_and_machines(manifests: list[Manifest]) -> None:
    template = templates(manifests)["web"]
    spread = template["spec"]["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]
    for each in spread:
        wanted = each["labelSelector"]["matchLabels"]
        assert wanted.items() <= template["metadata"]["labels"].items()


def test_the_autoscaler_follows_busy_workers_and_cpu(production: list[Manifest]) -> None:
    scaler = one(production, "HorizontalPodAutoscaler", "web")["spec"]
    assert "replicas" not in one(production, "Deployment", "web")["spec"]
    assert scaler["minReplicas"] > 1
    pods, cpu = scaler["metrics"]
    half = int(settings(production, "app")["STACK_PROCESSES"]) // 2
    assert pods["pods"]["target"] == {"type": "AverageValue", "averageValue": str(half)}
    assert cpu["containerResource"]["container"] == "app"
    folder = CHECKOUT / "deploy" / "kubernetes" / "overlays" / "production"
    adapter = yaml.safe_load((folder / "prometheus-adapter.yaml").read_text(encoding="utf-8"))
    (rule,) = adapter["rules"]
    assert rule["name"]["as"] == pods["pods"]["metric"]["name"]
    exporter = (CHECKOUT / "uwsgi" / "exporter.py").read_text(encoding="utf-8")
    assert rule["seriesQuery"].startswith('uwsgi_workers{state="busy"')
    assert 'GaugeMetricFamily("uwsgi_workers", "Workers by state"' in exporter


def test_migrations_run_once_a_release_and_not_in_each_pod(manifests: list[Manifest]) -> None:
    job = one(manifests, "Job", "migrate")["spec"]
    assert job["backoffLimit"] == 0
    (migrate,) = job["template"]["spec"]["containers"]
    app = container(manifests, "app")
    assert migrate["image"] == app["image"]
    assert {"STACK_BEFORE_START"} == {
        v["name"] for v in app["env"] if v["name"].startswith("STACK_")
    }
    assert migrate["envFrom"] == app["envFrom"]
    assert "STACK_BEFORE_START" not in {v["name"] for v in migrate["env"]}
    for setting in ("STACK_BEFORE_START", "STACK_USERS_URL", "STACK_USERS_URL_FILE"):
        assert f"${{{setting}-}}" in migrate["command"][-1]


def test_migrations_can_run_before_the_pods(manifests: list[Manifest]) -> None:
    """`kubectl apply -l app.kubernetes.io/name!=web` sends the Job and all that it needs."""
    first = [
        manifest
        for manifest in manifests
        if manifest["metadata"].get("labels", {}).get("app.kubernetes.io/name") != "web"
    ]
    assert {"Deployment", "Service"} & {m["kind"] for m in manifests if m not in first} == {
        "Deployment",
        "Service",
    }
    one(first, "Job", "migrate")
    names = {manifest["metadata"]["name"] for manifest in first}
    pod = templates(first)["migrate"]["spec"]
    needed = {s["configMapRef"]["name"] for s in pod["containers"][0]["envFrom"]}
    needed |= {v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v}
    assert needed - names == {"project"}
    assert {m["kind"] for m in first} >= {"Namespace", "NetworkPolicy", "Secret", "ConfigMap"}


def test_secrets_are_generated_and_no_file_of_them_is_in_git(manifests: list[Manifest]) -> None:
    assert set(one(manifests, "Secret", "app")["data"]) == {"secret_key"}
    assert set(one(manifests, "Secret", "redis")["data"]) == {"password"}
    asked = ["git", "check-ignore", "--quiet", "deploy/kubernetes/overlays/one-node/secrets/x"]
    assert subprocess.run(asked, cwd=CHECKOUT, check=False).returncode == 0
