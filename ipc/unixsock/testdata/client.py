"""A client of ipc/PROTOCOL.md: calls, feeds and descriptors, from the text alone."""
import array, json, os, socket, struct, sys


class Refused(Exception):
    pass


class Conn:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.buf, self.fds, self.id, self.streams = b"", [], 0, 0
        self.send(type="hello", protocol=1, build="client.py")

    def send(self, **message):
        text = json.dumps(message).encode()
        self.sock.sendall(struct.pack(">I", len(text)) + text)

    def receive(self, n):
        while len(self.buf) < n:
            data, control, _, _ = self.sock.recvmsg(65536, socket.CMSG_SPACE(64 * 4))
            for _, _, fds in control:
                self.fds += array.array("i", fds)
            if not data:
                raise EOFError("interrupted")
            self.buf += data
        piece, self.buf = self.buf[:n], self.buf[n:]
        return piece

    def frame(self):
        """The next message, or (stream, bytes) of a data frame."""
        head = struct.unpack(">I", self.receive(4))[0]
        content = self.receive(head & 0xFFFFFF)
        if head >> 24 == 1:
            return struct.unpack(">i", content[:4])[0], content[4:]
        message = json.loads(content)
        message["files"] = [self.fds.pop(0) for _ in range(message.get("fds", 0))]
        if message["type"] == "refused":
            raise Refused(message["error"])
        return message

    def feed(self, method, body, streams=1):
        """Yields the items of a feed and then the reply; just that of other calls."""
        self.id += 1
        call = dict(type="call", id=self.id, method=method, body=body)
        if streams:
            self.streams += 1
            call["streams"] = [self.streams]
        self.send(**call)
        items, taken = b"", 0
        while True:
            m = self.frame()
            if isinstance(m, tuple):
                items, taken = items + m[1], taken + len(m[1])
                if taken > 100_000:
                    self.send(type="credit", stream=self.streams, credit=taken)
                    taken = 0
                *lines, items = items.split(b"\n")
                yield from map(json.loads, lines)
            elif m["type"] == "error" and m["id"] == self.id:
                raise Refused(m["error"])
            elif m["type"] == "reply" and m["id"] == self.id:
                yield m
                return

    def call(self, method, **body):
        return next(self.feed(method, body, streams=0))


if __name__ == "__main__":
    conn = Conn(sys.argv[1])
    print(conn.call("test.who")["body"]["pid"] == os.getpid())
    print(sum(1 for _ in conn.feed("test.count", {"to": 10000})) - 1)
    reply = conn.call("test.open", text="through a descriptor")
    print(os.read(reply["files"][reply["body"]["file"] - 1], 100).decode())
    try:
        conn.call("test.fly")
    except Refused as e:
        print(e.args[0]["code"])
