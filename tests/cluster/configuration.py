"""What the node's programs are started with: addresses, credentials, configuration files, command lines.

Everything is written below one state directory, which the node sees at the same path as the host.
"""

import json
import secrets
from pathlib import Path

from support import paths
from support.certificates import Authority
from support.process import run

NODE = "dbproxy-node"
HOST_ADDRESS, NODE_ADDRESS = "172.31.77.1", "172.31.77.2"  # the ends of the veth pair
POD_RANGE, SERVICE_RANGE = "10.244.0.0/24", "10.96.0.0/16"
API_ADDRESS = "10.96.0.1"  # the Service `kubernetes`: always the range's first
INTERFACE = "dbproxy0"  # the host's end
CGROUP = "dbproxy-cluster"
PAUSE_IMAGE = "dbproxy.test/pause:1"
API = f"https://{NODE_ADDRESS}:6443"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
# The kubelet insists on writing these, and they are the host's: it gets files of its own that say what it wants.
KERNEL_SETTINGS = {"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10",
                   "kernel/panic_on_oops": "1"}
_IDENTITIES = {  # kubeconfig: (user, groups)
    "admin": ("admin", "system:masters"),
    "kubelet": (f"system:node:{NODE}", "system:nodes"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "kube-proxy": ("system:kube-proxy", ""),
    "dns": ("dns", ""),
}
# CoreDNS is a program on the node, and pods ask the node's address.
_DNS_READER = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "dns"},
               "rules": [{"apiGroups": [""], "resources": ["services", "namespaces", "pods"],
                          "verbs": ["list", "watch"]},
                         {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"],
                          "verbs": ["list", "watch"]}]}
_DNS_BINDING = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "dns"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "dns"},
                "subjects": [{"kind": "User", "name": "dns", "apiGroup": "rbac.authorization.k8s.io"}]}
ADDONS = [_DNS_READER, _DNS_BINDING]


def write_all(state: Path):
    """Credentials and files; nothing of an earlier cluster is used again."""
    _credentials(state)
    for name, text in {
        "containerd.toml": _containerd(state), "kubelet.json": json.dumps(_kubelet(state), indent=1),
        "kube-proxy.json": json.dumps(_kube_proxy(state), indent=1), "Corefile": _corefile(state),
        "cni/10-bridge.conflist": json.dumps(_CNI, indent=1), "resolv.conf": "# pods ask CoreDNS, CoreDNS asks nobody\n",
    }.items():
        path = state / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    for name, value in KERNEL_SETTINGS.items():
        path = state / "sysctl" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value + "\n")


def _credentials(state: Path):
    authority = Authority(state / "pki", "dbproxy test cluster")
    authority.issue("apiserver", "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,"
                    f"IP:127.0.0.1,IP:{NODE_ADDRESS},IP:{API_ADDRESS}")
    authority.issue("apiserver-client", subject="/O=system:masters/CN=kube-apiserver", usage="clientAuth")
    run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", state / "pki/service-accounts.key"])
    lines = []
    for name, (user, groups) in _IDENTITIES.items():
        token = secrets.token_hex(20)
        lines.append(f'{token},{user},{user}' + (f',"{groups}"' if groups else "") + "\n")
        _kubeconfig(state / f"{name}.kubeconfig", authority.certificate, token)
    (state / "tokens.csv").write_text("".join(lines))
    (state / "tokens.csv").chmod(0o600)


def _kubeconfig(path: Path, ca: Path, token: str):
    path.touch(0o600)
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "dbproxy",
        "clusters": [{"name": "dbproxy", "cluster": {"server": API, "certificate-authority": str(ca)}}],
        "contexts": [{"name": "dbproxy", "context": {"cluster": "dbproxy", "user": "dbproxy"}}],
        "users": [{"name": "dbproxy", "user": {"token": token}}]}, indent=1))


def _containerd(state: Path) -> str:
    return f"""\
version = 2
root = "{state}/node/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{state}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""


# No masquerading, and no way out but to the host: what pods may reach is on the host's end of the veth pair.
_CNI = {"cniVersion": "0.4.0", "name": "dbproxy", "plugins": [
    {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipMasq": False,
     "ipam": {"type": "host-local", "dataDir": "/var/lib/cni/networks", "ranges": [[{"subnet": POD_RANGE}]],
              "routes": [{"dst": "0.0.0.0/0"}]}},
    {"type": "portmap", "capabilities": {"portMappings": True}}]}


def _kubelet(state: Path) -> dict:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}", "cgroupDriver": "cgroupfs", "cgroupRoot": f"/{CGROUP}",
        "failCgroupV1": False, "failSwapOn": False, "oomScoreAdj": 0, "enforceNodeAllocatable": ["pods"],
        "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
        "evictionHard": {name: "0%" for name in ("imagefs.available", "nodefs.available", "nodefs.inodesFree",
                                                 "imagefs.inodesFree", "memory.available")},
        "clusterDNS": [NODE_ADDRESS], "clusterDomain": "cluster.local", "resolvConf": str(state / "resolv.conf"),
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True},
                           "x509": {"clientCAFile": str(state / "pki/ca.pem")}},
        "authorization": {"mode": "Webhook"},
        # A test waits for the first status and the first restart of a container, not for the steady state.
        "nodeStatusUpdateFrequency": "5s", "crashLoopBackOff": {"maxContainerRestartPeriod": "2s"},
        "featureGates": {"KubeletCrashLoopBackOffMax": True},
        "registerNode": True, "containerLogMaxSize": "20Mi",
    }


def _kube_proxy(state: Path) -> dict:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "nftables",
        "clientConnection": {"kubeconfig": str(state / "kube-proxy.kubeconfig")}, "hostnameOverride": NODE,
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "nftables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"}, "oomScoreAdj": 0,
        "healthzBindAddress": "127.0.0.1:10256", "metricsBindAddress": "127.0.0.1:10249",
        "nodePortAddresses": ["primary"],
    }


def _corefile(state: Path) -> str:
    return f"""\
.:53 {{
  bind {NODE_ADDRESS}
  errors
  kubernetes cluster.local {{
    kubeconfig {state}/dns.kubeconfig dbproxy
    ttl 1
  }}
}}
"""


def daemons(state: Path) -> dict[str, list[str]]:
    """name: command, in the order of their start. Those after kube-apiserver's wait for it."""
    pki = state / "pki"
    accounts = pki / "service-accounts.key"
    program = paths.KUBE_BIN
    return {name: [str(word) for word in command] for name, command in {
        "containerd": ["/usr/bin/containerd", "--config", state / "containerd.toml", "--log-level", "warn"],
        "etcd": [program / "etcd", f"--data-dir={state}/node/etcd", "--log-level=warn", "--unsafe-no-fsync"],
        "kube-apiserver": [
            program / "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", "--secure-port=6443",
            f"--advertise-address={NODE_ADDRESS}", f"--tls-cert-file={pki}/apiserver.pem",
            f"--tls-private-key-file={pki}/apiserver.key", f"--client-ca-file={pki}/ca.pem",
            f"--token-auth-file={state}/tokens.csv", "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
            "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={accounts}",
            f"--service-account-signing-key-file={accounts}", f"--service-cluster-ip-range={SERVICE_RANGE}",
            f"--kubelet-client-certificate={pki}/apiserver-client.pem",
            f"--kubelet-client-key={pki}/apiserver-client.key", "--kubelet-preferred-address-types=InternalIP",
            "--profiling=false"],
        "kube-controller-manager": [
            program / "kube-controller-manager", f"--kubeconfig={state}/controller-manager.kubeconfig",
            f"--service-account-private-key-file={accounts}", f"--root-ca-file={pki}/ca.pem",
            "--use-service-account-credentials=true", "--leader-elect=false", "--bind-address=127.0.0.1",
            "--kube-api-qps=300", "--kube-api-burst=600", "--profiling=false"],
        "kube-scheduler": [program / "kube-scheduler", f"--kubeconfig={state}/scheduler.kubeconfig",
                           "--leader-elect=false", "--bind-address=127.0.0.1", "--profiling=false"],
        "kubelet": [program / "kubelet", f"--config={state}/kubelet.json", f"--kubeconfig={state}/kubelet.kubeconfig",
                    f"--hostname-override={NODE}", f"--node-ip={NODE_ADDRESS}"],
        "kube-proxy": [program / "kube-proxy", f"--config={state}/kube-proxy.json"],
        "coredns": [program / "coredns", f"-conf={state}/Corefile"],
    }.items()}
