"""uWSGI with 4 workers of 8 threads, forked before or after loading: nobody sees another user."""

import http.client
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stack import ports
from tests.stack.checkouts import answers
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
USERS = 16
REQUESTS = 250

APP = """
import os
from app.redis_client import connect
from tests.sessions.pages import make_app

client = connect(os.environ["URL"], os.environ["PASSWORD"], budget=10)
# The forking process opens a connection before it forks.
client.execute("GET", "post:before-the-fork")
application = make_app(client)

@application.get("/worker")
def worker():
    import threading
    return f"{os.getpid()} {threading.get_ident()}"
"""


@pytest.fixture(params=["fork after loading", "lazy-apps"])
def port(request, any_redis, tmp_path):
    (tmp_path / "served.py").write_text(APP)
    port = ports.free()
    command = [
        str(Path(sys.executable).parent / "uwsgi"),
        "--master",
        "--need-app",
        "--die-on-term",
    ]
    command += ["--http-socket", f"127.0.0.1:{port}", "--processes", "4", "--threads", "8"]
    command += ["--module", "served", "--pythonpath", str(tmp_path), "--pythonpath", str(ROOT)]
    command += ["--virtualenv", sys.prefix, "--disable-logging", "--listen", "64", "--thunder-lock"]
    if request.param == "lazy-apps":
        command += ["--lazy-apps"]
    environ = {**os.environ, "URL": any_redis.url, "PASSWORD": any_redis.password}
    log = tmp_path / "uwsgi.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environ, stdout=output, stderr=output)
    try:
        wait_until(lambda: process.poll() is not None or answers(f"http://127.0.0.1:{port}/plain"))
        assert process.poll() is None, log.read_text()
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def ask(port, method, path, cookie="", body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Cookie": cookie, "Content-Type": "application/json"}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    set_ = (answer.getheader("Set-Cookie") or "").partition(";")[0]
    connection.close()
    return answer.status, text, set_ or cookie


def test_everybody_only_ever_sees_themselves(port):
    wrong, workers = [], set()

    def live(user):
        dice = random.Random(user)
        cookie, counts = "", 0
        status, _, cookie = ask(port, "POST", f"/login/{user}")
        assert status == 200
        for _ in range(REQUESTS):
            action = dice.random()
            if action < 0.7:
                status, text, cookie = ask(port, "GET", "/whoami", cookie)
                if (status, text.strip()) != (200, f'"{user}"'):
                    wrong.append((user, status, text))
            elif action < 0.9:
                counts += 1
                status, _, cookie = ask(port, "POST", "/set/count", cookie, str(counts))
                status, text, cookie = ask(port, "GET", "/get/count", cookie)
                if (status, text.strip()) != (200, str(counts)):
                    wrong.append((user, status, text))
            elif action < 0.95:
                status, _, cookie = ask(port, "POST", "/rotate", cookie)
            else:
                workers.add(ask(port, "GET", "/worker")[1].split()[0])

    threads = [threading.Thread(target=live, args=(f"user-{n}",)) for n in range(USERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(workers) > 1
