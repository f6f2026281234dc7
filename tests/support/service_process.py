"""A business service as a process of its own, which a test stops, kills and starts again: `python -m support.service_process`.

It answers every POST with an empty JSON object. With `die-after-answering` it dies in the next moment, each time.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from aiohttp import web

from support.logging_process import LoggingProcess
from support.ports import free_port

DIE: Final = "die-after-answering"
_TESTS: Final = str(Path(__file__).parents[1])


class ServiceProcess(LoggingProcess):
    """One such process, on the same port each time it is started."""

    def __init__(self, *habits: str) -> None:
        self.port = free_port()
        command = (sys.executable, "-m", "support.service_process", str(self.port), *habits)
        super().__init__(command, {**os.environ, "PYTHONPATH": _TESTS})


async def _serve(port: int, *, dies: bool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.json_response({})
        if dies and request.method == "POST":
            await response.prepare(request)
            await response.write_eof()
            os._exit(1)
        return response

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
    sys.stdout.write('{"message": "listening"}\n')
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), dies=DIE in sys.argv[2:]))
