# SPDX-License-Identifier: MIT
"""The HTTP servers: raw ones, ours, and the peers', each with the same answer."""

import os
import pathlib
import socket

from . import tools
from .model import OURS, PEER, RAW
from .processes import Server

NODE = """
const cluster = require('cluster'), http = require('http');
const [workers, policy, port] = process.argv.slice(2);
cluster.schedulingPolicy = policy === 'rr' ? cluster.SCHED_RR : cluster.SCHED_NONE;
if (cluster.isPrimary) {
  let left = Number(workers);
  for (let i = 0; i < Number(workers); ++i) cluster.fork();
  cluster.on('exit', () => cluster.fork());
  cluster.on('listening', (worker, address) => {
    if (--left === 0) console.log(`listening on 127.0.0.1:${address.port}`);
  });
} else {
  const body = `Hello from worker ${cluster.worker.id}\\n`;
  http.createServer((request, response) => {
    response.setHeader('Content-Type', 'text/plain');
    response.end(request.url === '/pid' ? `${process.pid}\\n` : body);
  }).listen(Number(port), '127.0.0.1');
}
"""

NGINX = """
daemon off; worker_processes {workers}; worker_rlimit_nofile 65536; {user}
pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; server_tokens off; default_type text/plain;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{
    listen 127.0.0.1:{port} reuseport backlog=4096;
    location / {{ return 200 "{body}"; }} location /pid {{ return 200 "$pid\\n"; }}
  }}
}}
"""

HAPROXY = """
global
  nbthread {workers}
  maxconn 4096
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  timeout http-keep-alive 60s
frontend hello
  bind 127.0.0.1:{port}
  http-request return status 200 content-type text/plain string "Hello from worker 1\\n"
"""

GUNICORN = '''
import os
def app(environ, start_response):
    own = environ["PATH_INFO"] == "/pid"
    body = b"%d\\n" % os.getpid() if own else b"Hello from worker 1\\n"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
'''


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def scratch(options, name, text):
    path = pathlib.Path(options.scratch) / name
    path.write_text(text)
    return path


def raw(options, accept, workers, name=None):
    program = tools.limit(options, "http_epoll")
    if not program:
        return None
    return Server(name or f"raw {accept}", RAW, [program, "--workers", workers, "--accept", accept])


def uring(options, workers):
    """What the raw server would be on io_uring."""
    if not tools.peer(options, "io_uring", "liburing-dev", header="liburing.h"):
        return None
    program = tools.program(options, "http/uring", ("-luring",))
    return Server("raw io_uring", RAW, [program, "--workers", workers]) if program else None


def http_server(options):
    """The example, as it is built or as it was given."""
    return options.server or tools.build(
        "examples/http_server.cpp", "example_http_server", options.build, options.compiler,
        (f"-I{tools.ROOT}/examples/support",))


def ours(options, scheduling, workers):
    program = http_server(options)
    if not program:
        return None
    command = [program, "--port", 0, "--host", "127.0.0.1", "--workers", workers, "--quiet"]
    return Server(f"ours {scheduling}", OURS, [*command, "--scheduling", scheduling])


def ready(options, scheduling, workers):
    """Ours with the work of the raw server: what it costs more is the library."""
    program = tools.program(options, "http/ready_answers")
    if not program:
        return None
    command = [program, "--workers", workers, "--scheduling", scheduling]
    return Server(f"ready {scheduling}", OURS, command)


def nginx(options, workers, body):
    if not tools.peer(options, "nginx", "nginx-light", program="nginx"):
        return None
    folder = pathlib.Path(options.scratch) / f"nginx{workers}"
    folder.mkdir(exist_ok=True)
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    text = NGINX.format(workers=workers, folder=folder, port=port, body=body, user=user)
    (folder / "nginx.conf").write_text(text)
    command = [tools.where("nginx"), "-e", "stderr", "-p", folder, "-c", folder / "nginx.conf"]
    return Server("nginx", PEER, command, port)


def haproxy(options, workers):
    """Its workers are threads of one process."""
    if not tools.peer(options, "HAProxy", "haproxy", program="haproxy"):
        return None
    port = free_port()
    path = scratch(options, "haproxy.cfg", HAPROXY.format(workers=workers, port=port))
    return Server("haproxy", PEER, [tools.where("haproxy"), "-db", "-f", path], port)


def node(options, policy, workers):
    if not tools.peer(options, "Node.js", "nodejs", program="node"):
        return None
    # With port 0 it would take another one when the last worker has died.
    script = scratch(options, "server.js", NODE)
    return Server(f"node {policy}", PEER, ["node", script, workers, policy, free_port()])


def gunicorn(options, worker_class, workers):
    if not tools.peer(options, "gunicorn", "gunicorn", program="gunicorn"):
        return None
    scratch(options, "hello.py", GUNICORN)
    port = free_port()
    threads = ["--threads", 32, "--keep-alive", 60] if worker_class == "gthread" else []
    command = ["gunicorn", "--chdir", options.scratch, "--bind", f"127.0.0.1:{port}", "--workers",
               workers, "--worker-class", worker_class, *threads, "--log-level", "error",
               "hello:app"]
    return Server(f"gunicorn {worker_class}", PEER, command, port)
