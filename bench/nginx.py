"""The service that the benchmark's events go to: nginx, as it is cheap and nobody's favourite.

Where the machine has none, Debian's packages are unpacked into the project's cache: nothing is installed or started
system-wide, and nobody needs to be root.
"""

import os
import platform
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("nginx", "libnginx-mod-http-echo")
_BINARY = Path("usr/sbin/nginx")
_MODULE = Path("usr/lib/nginx/modules/ngx_http_echo_module.so")
_CONFIGURATION = """load_module {module};
worker_processes 1; daemon off; master_process off; pid {directory}/nginx.pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/p; fastcgi_temp_path {directory}/f;
  uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  server {{
    listen 127.0.0.1:{port};
    location / {{ return 204; }}
    location /slow {{ echo_sleep 0.001; echo_status 204; }}
    location /reply {{
      default_type application/json;
      add_header ce-specversion 1.0; add_header ce-type Shipped; add_header ce-source /bench/target;
      add_header ce-id shipped-$http_ce_id;
      return 200 '{reply}';
    }}
    location /status {{ stub_status; }}
  }}
}}
"""


class NginxError(Exception):
    """There is no nginx to be had here; the message says why."""


@dataclass(frozen=True)
class Nginx:
    """An nginx with the module `echo`."""

    root: Path
    """The directory that it is unpacked in; `/` where it is installed."""

    @property
    def version(self) -> str:
        """Its version; raises NginxError if it does not run."""
        try:
            said = subprocess.run([self.root / _BINARY, "-v"], capture_output=True, text=True, check=False)
        except OSError as error:
            raise NginxError(str(error)) from None
        if found := re.search(r"nginx/(\S+)", said.stderr):
            return found[1]
        raise NginxError(f"nginx does not run: {said.stderr.strip()}")

    def command(self, directory: Path, port: int, reply: bytes) -> list[str]:
        """Write its configuration into this directory, and return the command that runs it."""
        file = directory / "nginx.conf"
        module = self.root / _MODULE
        file.write_text(_CONFIGURATION.format(directory=directory, port=port, module=module, reply=reply.decode()))
        return [str(self.root / _BINARY), "-p", str(directory), "-c", str(file)]


def find() -> Nginx:
    """Return the machine's nginx, else the one in the cache, which is filled if need be; raises NginxError."""
    if all((Path("/") / part).exists() for part in (_BINARY, _MODULE)):
        return Nginx(Path("/"))
    kept = _cache()
    if not kept.exists():
        _unpack(kept)
    return Nginx(kept)


def _cache() -> Path:
    """Where the tests keep what they build, too; the libraries that nginx needs are those of this release of Debian."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        system = platform.freedesktop_os_release()
    except OSError as error:
        raise NginxError(str(error)) from None
    return home / "choregos" / f"nginx-{system['ID']}-{system.get('VERSION_ID', 'testing')}-{platform.machine()}"


def _unpack(kept: Path) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{kept.name}.", dir=kept.parent) as temporary:
        packages, root = Path(temporary) / "packages", Path(temporary) / "root"
        packages.mkdir()
        _download(packages)
        for package in packages.glob("*.deb"):
            _run("dpkg-deb", "--extract", str(package), str(root), directory=packages)
        _ = Nginx(root).version
        try:
            root.rename(kept)
        except OSError:
            if not kept.exists():  # as it does when another run was faster
                raise


def _download(directory: Path) -> None:
    """Download by the machine's package lists, else by fresh ones of our own."""
    try:
        _run("apt-get", "download", *PACKAGES, directory=directory)
    except NginxError:
        lists, cache = directory / "lists", directory / "cache"
        for each in (lists / "partial", cache / "archives" / "partial"):
            each.mkdir(parents=True)
        own = ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={cache}"]
        _run("apt-get", *own, "update", directory=directory)
        _run("apt-get", *own, "download", *PACKAGES, directory=directory)


def _run(*command: str, directory: Path) -> None:
    try:
        ended = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    except OSError as error:
        raise NginxError(f"{command[0]}: {error.strerror}") from None
    if ended.returncode:
        raise NginxError(f"`{' '.join(command)}` failed: {ended.stderr.strip()}")
