"""Timer: runs the weekly job every EVERY_S seconds, one run at a time, as a CronJob does in a cluster."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from aiohttp import web
from service import application, serve, setting

EVERY_S = setting("EVERY_S", least=1, most=7 * 24 * 3600)
JOB = Path(__file__).with_name("job.py")

routes = web.RouteTableDef()
runs: list[int] = []  # exit codes


@routes.get("/runs")
async def show(_: web.Request) -> web.Response:
    """List the exit code of every run that has ended."""
    return web.json_response(runs)


async def run_for_ever() -> None:
    """Run the job, wait, run it again; the job that runs ends with the timer."""
    while True:
        job = await asyncio.create_subprocess_exec(sys.executable, str(JOB))
        try:
            runs.append(await job.wait())
        finally:
            if job.returncode is None:
                job.terminate()
                await job.wait()
        await asyncio.sleep(EVERY_S)


async def ticking(_: web.Application) -> AsyncIterator[None]:
    """Run the job while the server is up."""
    task = asyncio.create_task(run_for_ever())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


if __name__ == "__main__":
    app = application(routes)
    app.cleanup_ctx.append(ticking)
    serve(app)
