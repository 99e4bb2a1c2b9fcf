"""Attacks by network and sockets."""

from .attack import attack
from .attacks_files import DENIED, SYSCALL

attack(
    "talk over TCP",
    """
    import socket
    with socket.create_connection(("127.0.0.1", host["tcp"]), timeout=2) as wire:
        return wire.send(b"secret")
    """,
    DENIED,
    real=True,
)
attack(
    "talk over UDP",
    """
    import socket
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"secret", ("127.0.0.1", host["udp"]))
    """,
    DENIED,
    real=True,
)
attack(
    "talk over a unix socket",
    """
    import socket
    wire = socket.socket(socket.AF_UNIX)
    wire.connect(host["folder"] + "/socket")
    return wire.send(b"secret")
    """,
    DENIED,
    real=True,
)
attack(
    "talk over an abstract unix socket",
    """
    import socket
    wire = socket.socket(socket.AF_UNIX)
    wire.connect("\\0" + host["name"])
    return wire.send(b"secret")
    """,
    DENIED,
    real=True,
)
attack(
    "send from one end of a pair of sockets",
    """
    import socket
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    return one.sendto(b"secret", "\\0" + host["name"] + "-datagrams")
    """,
    "PermissionError|ConnectionRefused",
    real=True,
)
attack("look a name up", "import socket\nreturn socket.getaddrinfo('example.com', 80)", "gaierror|PermissionError")
attack(
    "look a name up by hand",
    """
    import socket
    question = bytes(5) + b"\\1" + bytes(6) + b"\\7example\\3com\\0\\0\\1\\0\\1"
    wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    return wire.sendto(question, ("127.0.0.1", host["udp"]))
    """,
    DENIED,
    real=True,
)
attack(
    "fetch a page",
    """
    import urllib.request
    return urllib.request.urlopen(f"http://127.0.0.1:{host['tcp']}/", timeout=2).read()
    """,
    "URLError|PermissionError",
)
attack("listen", "import socket\nreturn socket.create_server(('127.0.0.1', 0)).getsockname()", DENIED, real=True)
attack(
    "talk over IPv6", "import socket\nsocket.socket(socket.AF_INET6).connect(('::1', host['tcp']))\nreturn 1", DENIED
)
attack("send raw packets", "import socket\nreturn str(socket.socket(socket.AF_PACKET, socket.SOCK_RAW))", DENIED)
attack(
    "ask the kernel about the network",
    "import socket\nreturn str(socket.socket(socket.AF_NETLINK, 3))",
    DENIED,
    real=True,
)
attack("talk to the hypervisor", "import socket\nreturn str(socket.socket(socket.AF_VSOCK))", DENIED)
attack("open a socket past the library", SYSCALL + "\nreturn syscall(41, 2, 1, 0)", DENIED, real=True)
attack("open a pair of network sockets", "import socket\nreturn str(socket.socketpair(socket.AF_INET))", DENIED)
attack(
    "take a descriptor from another process",
    SYSCALL + "\npid = syscall(434, host['parent'], 0)\nreturn syscall(438, pid, 1, 0)",
    DENIED,
)
