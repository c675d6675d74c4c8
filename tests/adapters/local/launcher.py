"""A launcher with real servers and a stand-in, which tests kill: `python launcher.py FOLDER POSTGRES_PORT REDIS_PORT`.

Prints one line of JSON with the process ids once everything runs.
"""

import asyncio
import json
import sys
from pathlib import Path

from deploy.local.servers.postgres import PostgresServer
from deploy.local.servers.redis import RedisServer
from deploy.local.supervision.process import Process, ProcessSpec, ready_file_written
from deploy.local.supervision.supervisor import Supervisor
from deploy.local.supervision.traces import Traces
from mesh.tasks import BackgroundTasks


async def main(folder: Path, postgres_port: int, redis_port: int) -> None:
    postgres = PostgresServer(folder / "postgres", postgres_port)
    redis = RedisServer(folder / "redis", redis_port)
    ready_file = folder / "ready"
    stand_in = Process(
        ProcessSpec(
            name="service",
            command=[sys.executable, str(Path(__file__).with_name("stand_in.py")), str(folder / "journal"), "service"],
            traces=Traces(folder / "service.log"),
            ready=ready_file_written(ready_file),
            environment={"READY_FILE": str(ready_file)},
        )
    )
    supervisor = Supervisor([[postgres.process, redis.process], [stand_in]], lambda _: None, BackgroundTasks())
    await supervisor.start()
    url = await postgres.create_database("kept")
    pids = [process.pid for process in (postgres.process, redis.process, stand_in)]
    sys.stdout.write(json.dumps({"pids": pids, "url": url}) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
