"""The one table of modules. A module may include modules of lower layers, and of its own layer those above it here.

A new directory of sources has to be entered: the test says so. The order is also that of proxy/CMakeLists.txt.
"""

MODULES = [
    # (directory, layer)
    ("proxy/base", 0),
    ("proxy/wire/postgres", 1),
    ("proxy/wire/mysql", 1),
    ("proxy/config", 1),
    ("proxy/metrics", 1),
    ("proxy/net", 1),
    ("proxy/http", 1),
    ("proxy/live", 1),
    ("proxy/pki", 1),
    ("proxy/auth", 2),
    ("proxy/aws", 2),
    ("proxy/pool", 2),
    ("proxy/budget", 2),
    ("proxy/wire/control", 2),
    ("proxy/session", 3),
    ("proxy/session/postgres", 3),
    ("proxy/session/mysql", 3),
    ("proxy/backend", 3),
    ("proxy/manifest", 3),
    ("proxy/topology", 3),
    ("proxy/plan", 3),
    ("proxy/worker", 4),
    ("proxy/worker/postgres", 4),
    ("proxy/worker/mysql", 4),
    ("proxy/source", 4),
    ("proxy/control", 5),
    ("proxy/admin", 5),
    ("proxy", 6),  # main.cpp
    ("operator/kubernetes", 3),
    ("operator/status", 3),
    ("operator/budget", 3),
    ("operator/migrate", 4),
    ("operator/control", 4),
    ("operator/admin", 4),
    ("operator/webhook", 4),
    ("operator/manifest_mode", 5),
    ("operator/kubernetes_mode", 5),
    ("operator/ctl", 5),
    ("operator", 6),  # main.cpp
]

# What only the data plane may use: the operator shares the protocol libraries and the probes, not the workers.
DATA_PLANE = ["proxy/pool", "proxy/session", "proxy/session/postgres", "proxy/session/mysql", "proxy/worker",
              "proxy/worker/postgres", "proxy/worker/mysql", "proxy/control", "proxy/admin", "proxy"]

# (what, prefixes of included paths, directories that may include them)
LIBRARIES = [
    ("Asio and Beast", ("boost/asio", "boost/beast"),
     ["proxy/net", "proxy/http", "proxy/control", "proxy", "operator/kubernetes", "operator/control", "operator/webhook",
      "operator/ctl", "operator"]),
    ("gRPC and protobuf", ("grpc", "google/protobuf", "dbproxy/v1/"),
     ["proxy/wire/control", "proxy/control", "proxy", "operator/control", "operator"]),
    ("yaml-cpp", ("yaml-cpp",), ["proxy/manifest", "operator/kubernetes", "operator/migrate", "operator/ctl"]),
    ("prometheus-cpp", ("prometheus/",), ["proxy/metrics"]),
]

MOST_LINES = 600   # of any source file
MANY_LINES = 400   # more is a note

# Headers that take seconds to compile are not compiled alone.
HEAVY_PREFIXES = ("boost/asio", "boost/beast", "grpc", "google/protobuf", "dbproxy/v1/")
