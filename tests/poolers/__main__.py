"""Runs the tests through PgBouncer, which pools transactions on five connections to each database:
`python -m tests.poolers [arguments of pytest]`."""

import os
import subprocess
import sys

from app.settings import ROOT
from tools.pgbouncer import UNPACKED, pooled, tracking
from tools.postgres import embedded_postgres


def main() -> int:
    """Run them; return pytest's exit code."""
    pgbouncer = tracking()
    if pgbouncer is None:
        sys.exit(f"PgBouncer 1.21 or newer is required: scripts/unpack_pgbouncer.sh {UNPACKED.parent}")
    with (
        embedded_postgres(ROOT / ".data" / "test-postgres") as direct,
        pooled(direct, pgbouncer, pool_mode="transaction", default_pool_size=5) as url,
    ):
        environment = {**os.environ, "DATABASE_URL": url, "DATABASE_DIRECT_URL": direct}
        return subprocess.run([sys.executable, "-m", "pytest", *sys.argv[1:]], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
