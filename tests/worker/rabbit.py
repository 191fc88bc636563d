"""A RabbitMQ server for tests: on loopback, with a password, and with its data in a folder."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kombu import Connection

from lepton_celery.local.guard import Guard
from lepton_celery.local.process import ManagedProcess, StackError
from lepton_celery.local.server import free_port

_HOST = "127.0.0.1"

# Debian's /usr/sbin/rabbitmq-server runs only as root or as the user rabbitmq, and always on that user's folders
_PLACES = ("/usr/lib/rabbitmq/bin", "/usr/local/sbin", "/opt/homebrew/sbin")

_CONFIG = """\
listeners.tcp.1 = {host}:{port}
default_user = lepton
default_pass = {password}
log.console = true
log.console.level = info
log.file = false
"""


def find_rabbit() -> Path | None:
    """The folder with `rabbitmq-server` and `rabbitmqctl`; None when it is not installed."""
    for place in _PLACES:
        if (Path(place) / "rabbitmq-server").exists():
            return Path(place)
    found = shutil.which("rabbitmq-server")
    return Path(found).resolve().parent if found else None


class RabbitServer:
    """A RabbitMQ node that lives as long as the `with` block, with a port mapper (epmd) of its own.

    Durable messages survive in `directory`, and port and password stay, so that clients reconnect after `kill` and
    `start`.

        with RabbitServer(tmp_path / "rabbit") as server:
            app = create_app(load_settings({"LEPTON_BROKER_URL": server.url, ...}))
    """

    def __init__(self, directory: Path) -> None:
        found = find_rabbit()
        if found is None:
            raise StackError("there is no rabbitmq-server; apt install rabbitmq-server / brew install rabbitmq")
        self.directory = directory.absolute()
        self._sbin = found
        self._guard = Guard()
        self._process: ManagedProcess | None = None
        self._mapper: ManagedProcess | None = None
        self._port = free_port()
        self._node_port = free_port()
        self._mapper_port = free_port()
        self._password = secrets.token_urlsafe(24)

    @property
    def url(self) -> str:
        """`amqp://user:password@127.0.0.1:port//`."""
        return f"amqp://lepton:{self._password}@{_HOST}:{self._port}//"

    def virtual_host(self, name: str) -> str:
        """The URL of a new, empty virtual host."""
        self.ctl("add_vhost", name)
        self.ctl("set_permissions", "--vhost", name, "lepton", ".*", ".*", ".*")
        return self.url.removesuffix("/") + name

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    def start(self, timeout_s: float = 180.0) -> None:
        """Start the node and return when it serves AMQP. Raises StackError with its log when it does not."""
        deadline = time.monotonic() + timeout_s
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = self.directory / "rabbitmq.conf"
        config.touch(mode=0o600)
        config.write_text(_CONFIG.format(host=_HOST, port=self._port, password=self._password))
        (self.directory / "enabled_plugins").write_text("[].\n")
        if self._mapper is None:
            self._mapper = self._managed("epmd", "epmd", "-address", _HOST, "-port", str(self._mapper_port))
            self._mapper.start()
        self._process = self._managed("server", str(self._sbin / "rabbitmq-server"))
        self._process.start()
        while not self._answers():
            if not self._process.is_running or time.monotonic() > deadline:
                tail = self._process.log_tail()
                self.stop()
                raise StackError(f"rabbitmq-server did not start; the last lines of {self.log} say:\n{tail}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End the node as a power cut would; `start` brings it back with its durable messages."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def stop(self) -> None:
        """Kill the node and its port mapper. Their data are not needed any more."""
        self.kill()
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper = None
        self._guard.close()

    def queues(self, virtual_host: str = "/") -> dict[str, dict[str, Any]]:
        """Durability, arguments and number of messages of every queue, as the server reports them."""
        columns = ("name", "durable", "arguments", "messages")
        command = ("list_queues", "--quiet", "--vhost", virtual_host, "--formatter", "json", *columns)
        rows = json.loads(self.ctl(*command))
        for row in rows:
            row["arguments"] = {name: value for name, _, value in row["arguments"]}
        return {str(row["name"]): row for row in rows}

    def ctl(self, *arguments: str) -> str:
        """The output of `rabbitmqctl`. This takes a second, since it starts an Erlang machine."""
        command = [str(self._sbin / "rabbitmqctl"), "--node", self._node, *arguments]
        done = subprocess.run(command, env=self._env, capture_output=True, text=True, timeout=180, check=False)
        if done.returncode:
            raise StackError(f"rabbitmqctl {arguments[0]} failed; it says:\n{done.stdout}{done.stderr}")
        return done.stdout

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _node(self) -> str:
        return f"lepton-{self._port}@localhost"

    @property
    def _env(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ_")}
        return {
            **inherited,
            "HOME": str(self.directory),  # where Erlang keeps the cookie that lets rabbitmqctl in
            "ERL_EPMD_ADDRESS": _HOST,
            "ERL_EPMD_PORT": str(self._mapper_port),
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_DIST_PORT": str(self._node_port),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "data"),
            "RABBITMQ_LOG_BASE": str(self.directory / "logs"),
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self.directory / "no-such-file"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(self.directory / "pid"),
            "RABBITMQ_FEATURE_FLAGS_FILE": str(self.directory / "feature_flags"),
        }

    def _managed(self, name: str, *argv: str) -> ManagedProcess:
        return ManagedProcess(
            name, argv, log=self.directory / f"{name}.log", guard=self._guard, env=self._env, cwd=self.directory
        )

    def _answers(self) -> bool:
        try:
            with Connection(self.url, connect_timeout=1) as connection:
                connection.connect()
                return True
        except OSError:
            return False
