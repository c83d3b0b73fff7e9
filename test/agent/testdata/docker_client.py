"""Docker's API as its Python client speaks it: everything here is asked of the
daemon that DOCKER_HOST names, which has the image busybox and nothing else that
runs. What is made is removed. It says nothing and ends with 0 if all is well."""
import docker

client = docker.from_env(timeout=240)
assert client.ping()
assert client.version()["Arch"] == "arm64"
events = client.events(since=1, decode=True, filters={"label": "py=1"})
labels = {"py": "1"}

# Images: one more name, and what it is.
image = client.images.get("busybox")
assert image.tag("py", "tagged")
assert "py:tagged" in client.images.get("py:tagged").tags
assert client.images.get("py:tagged").id == image.id
client.images.remove("py:tagged")
assert not client.images.list("py")

# A volume, a network, and two containers that share the one and talk over the other.
volume = client.volumes.create("py-volume", labels=labels)
network = client.networks.create("py-network", labels=labels)
server = client.containers.run(
    "busybox", ["sh", "-c", "echo page >/v/index.html; exec httpd -f -p 80 -h /v"], name="py-server",
    detach=True, labels=labels, network="py-network", volumes={"py-volume": {"bind": "/v"}})
network.reload()
assert [c.name for c in network.containers] == ["py-server"]
asked = "until wget -q -O - http://py-server/index.html; do sleep 1; done; cat /v/index.html; echo err >&2; exit 3"
try:
    client.containers.run("busybox", ["sh", "-c", asked], name="py-asker", labels=labels, network="py-network",
                          volumes={"py-volume": {"bind": "/v", "mode": "ro"}})
    raise AssertionError("a container that failed is reported as well")
except docker.errors.ContainerError as failed:
    assert failed.exit_status == 3, failed.exit_status
    assert failed.stderr == b"err\n", failed.stderr
asker = client.containers.get("py-asker")
assert asker.logs(stderr=False).endswith(b"page\npage\n"), asker.logs()
asker.remove()

# Exec, its output apart, and its status.
code, (out, err) = server.exec_run(["sh", "-c", "echo out; echo err >&2; exit 4"], demux=True)
assert (code, out, err) == (4, b"out\n", b"err\n"), (code, out, err)

# Attach: a program's input and output on one connection that was HTTP.
cat = client.containers.create("busybox", ["cat"], name="py-cat", stdin_open=True, labels=labels)
attached = cat.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
cat.start()
attached._sock.sendall(b"word\n")
assert attached.read(8 + 5) == b"\x01\0\0\0\0\0\0\x05word\n"
assert cat.stats(stream=False)["memory_stats"]["limit"] > 0
cat.kill("SIGKILL")
assert cat.wait()["StatusCode"] == 137
assert attached.read() == b""
attached._sock.close()
attached.close()
cat.remove()

server.remove(force=True)
network.remove()
volume.remove()

# Events told all of it, in order.
told = []
for event in events:
    if event["Type"] == "container":
        told.append((event["Actor"]["Attributes"]["name"], event["Action"].partition(":")[0]))
    if told and told[-1] == ("py-server", "destroy"):
        break
events.close()
for name, want in {
    "py-server": ["create", "start", "exec_create", "exec_start", "exec_die", "die", "destroy"],
    "py-asker": ["create", "start", "die", "destroy"],
    "py-cat": ["create", "attach", "start", "kill", "die", "destroy"],
}.items():
    got = [action for who, action in told if who == name and action in want]
    assert got == want, (name, told)
