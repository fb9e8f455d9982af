"""The manifests of Locust are valid, confined like the stack, and agree with Compose's workers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from deploy.tests.manifests import Manifest, one, render, templates, validate
from deploy.tests.test_the_manifests_of_kubernetes import (
    COMPOSE,
    VERSIONS,
    connections,
    default,
    faults,
    names,
    seconds,
    size,
)
from stack.checkout import CHECKOUT

PODS = ("loadtest", "loadtest-worker")


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    return render("loadtest", tmp_path_factory.mktemp("rendered"))


def locust(manifests: list[Manifest], workload: str) -> Manifest:
    first: Manifest = templates(manifests)[workload]["spec"]["containers"][0]
    return first


@pytest.mark.parametrize("version", VERSIONS)
def test_three_versions_of_kubernetes_accept_every_manifest(
    manifests: list[Manifest], version: str
) -> None:
    validate(manifests, version)


def test_it_is_as_confined_as_the_stack_and_in_its_namespace(manifests: list[Manifest]) -> None:
    assert set(templates(manifests)) == set(PODS)
    assert faults(templates(manifests)) == set()
    assert {manifest["metadata"]["namespace"] for manifest in manifests} == {"stack"}
    # To delete it must not delete the stack.
    assert {manifest["kind"] for manifest in manifests} == {
        "ConfigMap",
        "Job",
        "NetworkPolicy",
        "Service",
    }


def test_the_network_allows_the_path_and_nothing_else(manifests: list[Manifest]) -> None:
    assert set(connections(manifests)) == {
        *(("egress", pod, "kube-system/kube-dns", 53) for pod in PODS),
        *(("egress", pod, "ingress-nginx", 443) for pod in PODS),
        ("egress", "loadtest-worker", "loadtest", "locust"),
        ("ingress", "loadtest", "loadtest-worker", "locust"),
    }
    isolated = {
        (pod, way)
        for manifest in manifests
        if manifest["kind"] == "NetworkPolicy"
        for pod in names(manifest["spec"]["podSelector"])
        for way in manifest["spec"]["policyTypes"]
    }
    assert isolated == {(pod, way) for pod in PODS for way in ("Ingress", "Egress")}


@pytest.mark.parametrize("workload", PODS)
def test_memory_user_and_folders_are_those_of_compose(
    manifests: list[Manifest], workload: str
) -> None:
    service = COMPOSE["services"]["loadtest"]
    each, pod = locust(manifests, workload), templates(manifests)[workload]["spec"]
    text = (CHECKOUT / "loadtest" / "Dockerfile").read_text(encoding="utf-8")
    user, group = re.search(r"^USER (\d+):(\d+)$", text, re.MULTILINE).groups()
    context = each["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"]) == (int(user), int(group))
    assert size(each["resources"]["limits"]["memory"]) == size(default(service["mem_limit"]))
    assert pod["terminationGracePeriodSeconds"] >= seconds(service["stop_grace_period"])
    volumes = {volume["name"]: volume["emptyDir"] for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in each["volumeMounts"]}
    assert mounts.keys() - {"/tmp"} == ({"/srv/results"} if workload == "loadtest" else set())
    (tmpfs,) = service["tmpfs"]
    assert mounts["/tmp"]["medium"] == "Memory"
    assert size(mounts["/tmp"]["sizeLimit"]) == size(re.search(r"size=([^,]+)", tmpfs)[1])


def test_the_options_are_those_of_the_workers_of_compose(manifests: list[Manifest]) -> None:
    overlay = (CHECKOUT / "deploy" / "loadtest" / "compose.yml").read_text(encoding="utf-8")
    # `!reset` is a word of Compose.
    services = yaml.safe_load(overlay.replace("!reset ", ""))["services"]
    master, workers = (locust(manifests, workload)["args"] for workload in PODS)
    assert workers == services["loadtest-worker"]["command"]
    assert master[:3] == [default(word) for word in services["loadtest"]["command"]]
    service = one(manifests, "Service", "loadtest")["spec"]
    host, port = workers[0].removeprefix("--worker=").split(":")
    assert (host, int(port)) == ("loadtest", service["ports"][0]["port"])
    port_of_master = locust(manifests, "loadtest")["ports"][0]
    assert port_of_master["name"] == service["ports"][0]["targetPort"]
    assert f"--listen=0.0.0.0:{port_of_master['containerPort']}" == master[2]


def test_one_number_and_one_profile_are_given_once(tmp_path: Path) -> None:
    changed = {"LOADTEST_WORKERS": "5", "PROFILE": "ramp", "HOST": "https://www.example.net"}
    found = render("loadtest", tmp_path, settings=changed)
    assert locust(found, "loadtest")["args"][:2] == ["--profile=ramp", "--workers=5"]
    workers = one(found, "Job", "loadtest-worker")["spec"]
    assert (workers["parallelism"], workers["completions"]) == (5, 5)
    # Each takes its share of the logins.
    assert changed.items() <= one(found, "ConfigMap", "loadtest")["data"].items()
    for workload in PODS:
        (source,) = locust(found, workload)["envFrom"]
        name = one(found, "ConfigMap", "loadtest")["metadata"]["name"]
        assert source["configMapRef"]["name"] == name


def test_a_lost_worker_neither_ends_the_others_nor_is_replaced(manifests: list[Manifest]) -> None:
    workers = one(manifests, "Job", "loadtest-worker")["spec"]
    assert (workers["completionMode"], workers["backoffLimitPerIndex"]) == ("Indexed", 0)
    assert one(manifests, "Job", "loadtest")["spec"]["backoffLimit"] == 0
    assert {t["spec"]["restartPolicy"] for t in templates(manifests).values()} == {"Never"}


def test_the_report_can_be_fetched_after_the_run(manifests: list[Manifest]) -> None:
    job, workers = (one(manifests, "Job", name)["spec"] for name in PODS)
    assert job["activeDeadlineSeconds"] == workers["activeDeadlineSeconds"]
    _, keeper = job["template"]["spec"]["containers"]
    (mount,) = keeper["volumeMounts"]
    assert mount == {"name": "results", "mountPath": "/srv/results", "readOnly": True}
    assert f"sleep {job['activeDeadlineSeconds']} " in keeper["command"][-1]
