"""RabbitMQ and PostgreSQL of a test's own, on ports of their own, to be killed and cut off; and the cutting proxy."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import kombu
import sqlalchemy

PATIENCE = 90.0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _find(name: str, *folders: str) -> str | None:
    """Return a program's path, looked for in the folders first."""
    found = [path for pattern in folders for path in sorted(Path("/").glob(pattern)) if (path / name).exists()]
    return str(found[-1] / name) if found else shutil.which(name)


class _Server:
    """A process group that can be stopped, killed and started again on the same data."""

    name: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def command(self) -> tuple[list[str], dict[str, str]]:
        raise NotImplementedError

    def ping(self) -> None:
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it answers."""
        command, environment = self.command()
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=os.environ | environment, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.ping()
                return
            except Exception as error:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    log_text = (self.folder / f"{self.name}.log").read_text(errors="replace")
                    raise RuntimeError(f"{self.name} did not start: {error}\n{log_text[-2000:]}") from error
                time.sleep(0.2)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it, by default without a word."""
        if self.process:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            self.process.wait(60)
            self.process = None

    def restart(self, number: int = signal.SIGKILL) -> None:
        self.kill(number)
        self.start()


class Rabbit(_Server):
    """A RabbitMQ node."""

    name = "rabbitmq"
    program = _find("rabbitmq-server", "usr/lib/rabbitmq/bin")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.node = f"chaos{self.port}@localhost"
        self.daemon_port = free_port()
        self.helped = 0
        config = folder / "rabbitmq.conf"
        config.write_text(
            f"listeners.tcp.local = 127.0.0.1:{self.port}\nloopback_users = none\nlog.file.level = warning\n"
            "vm_memory_high_watermark.relative = 0.4\ndisk_free_limit.absolute = 10MB\n"
        )
        (folder / "plugins").write_text("[].\n")
        self.environment = {
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(self.daemon_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "HOME": str(folder),
        }

    def url(self, port: int | None = None) -> str:
        return f"amqp://guest:guest@127.0.0.1:{port or self.port}//"

    def command(self) -> tuple[list[str], dict[str, str]]:
        return [str(self.program)], self.environment

    def ping(self) -> None:
        with kombu.Connection(self.url(), connect_timeout=2) as connection:
            connection.connect()
            # A quorum queue wants more than an open port.
            connection.default_channel.queue_declare(
                "ready", durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"}
            )

    def start(self) -> None:
        """Start it, and help queues that find no leader, as an operator would; `helped` counts them.

        After kill -9 a lone node of 3.x can leave them so when clients come back at once:
        https://github.com/rabbitmq/rabbitmq-server/issues/10070
        """
        super().start()
        for _ in range(5):
            if not self._leaderless("S"):
                return
            time.sleep(1)
        self.helped += self._leaderless("catch ra:trigger_election(S)")

    def _leaderless(self, act: str) -> int:
        """Do something to each quorum queue S that has no leader; return how many they are."""
        server = "{element(1, amqqueue:get_pid(Q)), node()}"
        led = f"case catch ra:members({server}, 1000) of {{ok, _, _}} -> false; _ -> true end"
        return int(self.control("eval", f"length([{act} || S <- [{server} || Q <- rabbit_amqqueue:list(), {led}]])."))

    def control(self, *arguments: str) -> str:
        program = str(Path(str(self.program)).parent / "rabbitmqctl")
        done = subprocess.run(
            [program, "-q", "-n", self.node, *arguments],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        epmd = _find("epmd", "usr/lib/erlang/bin")  # Erlang's own name server outlives its node
        for _ in range(25 if epmd else 0):
            kill = [str(epmd), "-port", str(self.daemon_port), "-kill"]
            if b"Killed" in subprocess.run(kill, capture_output=True, check=False).stdout:
                break
            time.sleep(0.2)  # it has not noticed yet that the node is dead


class Postgres(_Server):
    """A PostgreSQL cluster."""

    name = "postgresql"
    program = _find("initdb", "usr/lib/postgresql/*/bin")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.data = folder / "data"
        self.data.mkdir()
        self._as: list[str] = []
        if os.geteuid() == 0:  # it refuses to run as root
            self._as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            shutil.chown(self.data, "postgres", "postgres")
            for one in (folder, *folder.parents):
                if one.stat().st_uid == 0 and not one.stat().st_mode & 0o001:
                    one.chmod(0o711)
        arguments = ["--auth=trust", "--username=test", "--encoding=UTF8", "--no-instructions", "-D", str(self.data)]
        subprocess.run([*self._as, str(self.program), *arguments], check=True, capture_output=True, cwd="/")

    def start(self) -> None:
        """Start it, again if the killed one's processes, in groups of their own, have not noticed yet."""
        for _ in range(50):
            try:
                super().start()
            except RuntimeError as error:
                if "is still in use" not in str(error)[-400:]:
                    raise
                time.sleep(0.2)
            else:
                return
        raise RuntimeError("the processes of the killed PostgreSQL do not end")

    def url(self, port: int | None = None) -> str:
        return f"postgresql+psycopg://test@127.0.0.1:{port or self.port}/postgres"

    def command(self) -> tuple[list[str], dict[str, str]]:
        server = str(Path(str(self.program)).parent / "postgres")
        options = [f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self.data}"]
        return [*self._as, server, "-D", str(self.data), *(part for one in options for part in ("-c", one))], {}

    def ping(self) -> None:
        _connect(self.url())


def _connect(url: str) -> None:
    """Connect to a database once; raises what the driver raises."""
    engine = sqlalchemy.create_engine(url, connect_args={"connect_timeout": 2})
    try:
        engine.connect().close()
    finally:
        engine.dispose()


class PgBouncer(_Server):
    """A pooler in transaction mode before a PostgreSQL."""

    name = "pgbouncer"
    program = _find("pgbouncer", "usr/sbin")

    def __init__(self, folder: Path, database: sqlalchemy.URL, settings: str) -> None:
        super().__init__(folder)
        self.database = database
        behind = f"host={database.host or '127.0.0.1'} port={database.port or 5432} dbname={database.database}"
        behind += f" user={database.username or getpass.getuser()}"
        behind += f" password={database.password}" if database.password else ""
        self.config = folder / "pgbouncer.ini"
        self.config.write_text(
            f"[databases]\n{database.database} = {behind}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\n"
            f"unix_socket_dir =\nauth_type = any\npool_mode = transaction\n{settings}\n"
        )

    def url(self) -> str:
        return self.database.set(host="127.0.0.1", port=self.port).render_as_string(hide_password=False)

    def command(self) -> tuple[list[str], dict[str, str]]:
        # It refuses to run as root, and reads its settings before it is somebody else.
        as_somebody = ["-u", "nobody"] if os.geteuid() == 0 else []
        return [str(self.program), *as_somebody, str(self.config)], {}

    def ping(self) -> None:
        _connect(self.url())


class Proxy:
    """Stands between a client and a server: cuts, stalls either direction, delays, or leaves connections half open.

    `struck` counts the connections cut or left half open, and the reads that were held up.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.delay = 0.0
        self.stalled: set[str] = set()
        self.struck = 0
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._run(self._accept)

    def _run(self, act: Callable[..., None], *arguments: Any) -> None:
        threading.Thread(target=act, args=arguments, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self.target), 2)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                pair = (near, far)
                self._pairs.add(pair)
                self._run(self._pump, near, far, "in", pair)
                self._run(self._pump, far, near, "out", pair)

    def _pump(self, source: socket.socket, sink: socket.socket, way: str, pair: Any) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                self.struck += bool(self.delay) or way in self.stalled
                if self.delay:
                    time.sleep(self.delay)
                while way in self.stalled:
                    time.sleep(0.02)
                sink.sendall(data)
        # A half-open connection: its other end never hears that this one has gone.
        if "half" not in self.stalled:
            self._close(pair)

    def _close(self, pair: tuple[socket.socket, socket.socket]) -> None:
        self._pairs.discard(pair)
        for one in pair:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def cut(self) -> None:
        """End every connection; new ones are let through."""
        for pair in list(self._pairs):
            self.struck += 1
            self._close(pair)

    def strand(self) -> None:
        """Leave every open connection silent for ever on the client's side; new ones are let through."""
        self.stalled.add("half")
        for _, far in list(self._pairs):
            self.struck += 1
            with suppress(OSError):
                far.shutdown(socket.SHUT_RDWR)
        time.sleep(0.1)
        self.stalled.discard("half")

    def close(self) -> None:
        self._server.close()
        self.cut()
