"""The commands of the documentation, run as they stand there. What they need is said by the fence:

sh run       a database, in a directory of its own, a page's blocks one after the other
sh machine   a machine of its own with manifests in /etc/dbproxy: a section's blocks one after the other
sh operator  the same, behind those of the section "With an operator"
sh aws       RDS and its proxies
"""

import os
import re
import shutil
import textwrap
import urllib.request

import pytest

from support import aws, hidden, machine, namespace, paths
from support.manifests import Manifests
from support.ports import free_port
from support.postgres import PASSWORDS, Cluster
from support.process import run
from support.stand_in import StandIn

ALL = sorted([paths.ROOT / "README.md", *(paths.ROOT / "docs").glob("*.md")])


def blocks_of(text: str, kind: str) -> list[str]:
    return [textwrap.dedent(block) for block in re.findall(rf"^ *```sh {kind}\n(.*?)^ *```$", text, re.M | re.S)]


def sections(kind: str) -> list:
    """(page's name, heading, text) of those that have such blocks."""
    return [(page.stem, part.split("\n")[0], part) for page in ALL
            for part in re.split(r"^##+ ", page.read_text(), flags=re.M) if blocks_of(part, kind)]


PAGES = [page for page in ALL if blocks_of(page.read_text(), "run")]
WITH_OPERATOR = next(text for page, heading, text in sections("operator") if heading == "With an operator")


def script(blocks: list[str]) -> str:
    """The blocks as one: later ones use what earlier ones made. What still runs at the end is ended."""
    return ("set -euo pipefail\ntrap 'code=$?; jobs -p | xargs -r kill 2>/dev/null; wait; exit $code' EXIT\n" +
            "\n".join(f"set -x\n{block}{{ set +x; }} 2>/dev/null\n" for block in blocks))


@pytest.fixture
def moto(tmp_path):
    with aws.Moto(tmp_path) as server:
        yield server


def test_there_are_some():
    assert {"getting-started.md", "iam.md", "from-rds-proxy.md", "from-pgbouncer.md"} <= {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of(page, cluster, tmp_path, request):
    """`set -m` gives job numbers to what a person would start in a terminal."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    for name in ("dbproxy", "dbproxy-operator", "dbproxyctl"):
        (binaries / name).symlink_to(paths.binary(name))
    authority = tmp_path / "ca.pem"
    shutil.copy(cluster.authority.certificate, authority)
    work = tmp_path / "work"
    work.mkdir()
    aws_of = {}
    if page.stem == "iam":
        if not aws.available():
            pytest.skip("moto is not installed: run cmake/setup.sh test")
        moto = request.getfixturevalue("moto")
        secret = moto.make_secret(f"docs/{tmp_path.name}", {"username": "app", "password": PASSWORDS["app"]})
        aws_of = {**moto.env, "SECRET_ARN": secret}
    commands = script(blocks_of(page.read_text(), "run"))
    done = run(["timeout", "--kill-after=5", "120", "bash", "-m", "-c", commands], check=False, cwd=work, timeout=150, env={
        **os.environ, "PATH": f"{binaries}:{os.environ['PATH']}", "HOME": str(tmp_path), "PORT": str(free_port()),
        "ADMIN": f"127.0.0.1:{free_port()}", "DB_HOST": cluster.writer.host, "DB_PORT": str(cluster.writer.port),
        "DB_NAME": "orders", "DB_USER": "app", "DB_PASSWORD": PASSWORDS["app"], "DB_CA": str(authority), **aws_of})
    went_well(done)
    if page.stem == "iam":
        hidden.check("the sidecar's log", (work / "dbproxy.log").read_text())
        assert done.stdout.count("42") == 1 and "ok    secret" in done.stdout, done.stdout
    if page.stem == "getting-started":
        assert done.stdout.count("42") >= 2 and "shop/orders  ready" in done.stdout


def went_well(done):
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert not [each for each in ("AddressSanitizer", "runtime error:") if each in done.stderr + done.stdout]


@pytest.fixture(scope="module")
def place(testbed):
    """A machine with the programs, a user's password, and manifests of a database behind its only link."""
    namespace.require()
    directory = testbed.subdirectory("machine")
    with machine.Machine(directory) as made, Cluster(directory / "pg", version=15, authority=testbed.authority,
                                                     address=made.outside) as cluster:
        manifests = Manifests(directory / "m")
        manifests.for_cluster(cluster, 5432, tls=False)  # the servers' certificate is for loopback addresses
        made.prepare(f"install -d -m 700 /etc/dbproxy && install -m 600 {manifests.directory}/*.yaml /etc/dbproxy",
                     *[f"ln -s {paths.binary(name)} /usr/local/bin" for name in ("dbproxy", "dbproxy-operator", "dbproxyctl")],
                     "echo 127.0.0.1 localhost operator.example.com > /etc/hosts")
        yield made


@pytest.mark.parametrize("kind,page,heading,text", [(kind, *each) for kind in ("machine", "operator") for each in sections(kind)],
                         ids=lambda each: each if len(each) < 40 else "")
def test_the_commands_on_a_machine(kind, page, heading, text, place):
    blocks = blocks_of(WITH_OPERATOR, kind) if text != WITH_OPERATOR else []
    went_well(place.bash(script(blocks + blocks_of(text, kind)), {**os.environ, "PGPASSWORD": PASSWORDS["app"]}, 120))


class Proxies(StandIn):
    """moto, and the one answer that it does not know: that a proxy has no endpoints of its own."""

    method = "POST"

    def __init__(self, moto):
        self._moto = moto

    def answer(self, request) -> tuple[int, str]:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        if b"Action=DescribeDBProxyEndpoints" in body:
            return 200, ("<DescribeDBProxyEndpointsResponse><DescribeDBProxyEndpointsResult><DBProxyEndpoints/>"
                         "</DescribeDBProxyEndpointsResult></DescribeDBProxyEndpointsResponse>")
        with urllib.request.urlopen(urllib.request.Request(self._moto.url, body, dict(request.headers)), timeout=20) as answer:
            return answer.status, answer.read().decode()


@pytest.mark.parametrize("page,heading,text", sections("aws"), ids=lambda each: each if len(each) < 40 else "")
def test_the_commands_of_aws(page, heading, text, tmp_path):
    if not aws.available():
        pytest.skip("moto is not installed: run cmake/setup.sh test")
    make = ("import boto3; rds = boto3.client('rds'); rds.create_db_proxy(DBProxyName='orders', EngineFamily='POSTGRESQL', "
            "Auth=[{'AuthScheme': 'SECRETS', 'IAMAuth': 'DISABLED', "
            "'SecretArn': 'arn:aws:secretsmanager:us-east-2:123456789012:secret:orders-app-AbCdEf'}], "
            "RoleArn='arn:aws:iam::123456789012:role/orders', VpcSubnetIds=[each['SubnetId'] for each in "
            "boto3.client('ec2').describe_subnets()['Subnets']][:2])")
    with aws.Moto(tmp_path) as moto, Proxies(moto) as rds:
        env = {**os.environ, **moto.env, "AWS_DEFAULT_REGION": aws.REGION}
        run([aws.PYTHON, "-B", "-c", make], env=env)
        env |= {"PATH": f"{aws.PYTHON.parent}:{paths.binary('dbproxyctl').parent}:{os.environ['PATH']}",
                "AWS_ENDPOINT_URL": rds.url}
        went_well(run(["bash", "-c", script(blocks_of(text, "aws"))], check=False, cwd=tmp_path, timeout=120, env=env))
    assert "secret:orders-app-AbCdEf" in (tmp_path / "orders.yaml").read_text()


def manifests() -> list:
    """(page, number, text) of every DBProxy that the documentation shows whole."""
    pages = [paths.ROOT / "README.md", *sorted((paths.ROOT / "docs").glob("*.md"))]
    return [(page, number, textwrap.dedent(block)) for page in pages for number, block in enumerate(
            re.findall(r"^ *```yaml\n(.*?)^ *```$", page.read_text(), re.M | re.S)) if "kind: DBProxy" in block]


@pytest.mark.parametrize("page,number,text", manifests(), ids=lambda each: getattr(each, "stem", None))
def test_manifests_are_good(page, number, text, tmp_path):
    """But for what nobody can print: a Secret, a certificate."""
    file = tmp_path / "shown.yaml"
    file.write_text(text)
    file.chmod(0o600)
    done = run([paths.binary("dbproxy"), "--manifests", tmp_path, "--admin", f"127.0.0.1:{free_port()}"], check=False, timeout=60)
    assert done.returncode == 2, done.stderr
    for line in filter(None, done.stderr.splitlines()):
        assert "is not a Secret of" in line or ".caRef." in line, f"{page.name}: {line}"
