"""dbCluster.identifier: members and their addresses from RDS (moto for its shapes, a stand-in for real addresses)."""

import pytest

from support import aws, paths
from support.postgres import PASSWORDS
from support.process import run
from support.rds import Rds
from support.waiting import wait_for

POLL = ("--secret-poll-seconds", "1")


def use_identifier(bed, identifier="orders-cluster", **cluster):
    bed.write(aws={"region": aws.REGION})

    def change(document):
        if document["kind"] == "DBProxy":
            there = document["spec"]["targetGroups"][0]["dbCluster"]
            for field in ("endpoint", "port", "instances"):
                there.pop(field, None)
            there.update(identifier=identifier, **cluster)
    bed.manifests.edit("orders.yaml", change)


def targets(sidecar) -> dict:
    return {row["id"]: row for row in sidecar.json("targets")}


def test_members_come_from_rds_and_follow_it(bed):
    place = (bed.writer.host, bed.writer.port)
    with Rds("orders-cluster", {"orders-1": place}) as rds:
        use_identifier(bed)
        env = {**aws.KEYS, "AWS_ENDPOINT_URL_RDS": rds.url}
        sidecar = bed.sidecar(write=False, env=env, extra=POLL)
        assert bed.connect().execute("SELECT current_user").fetchone() == ("app",)
        assert set(targets(sidecar)) == {"orders-1"} and targets(sidecar)["orders-1"]["port"] == place[1]
        assert rds.asked[:2] == ["DescribeDBClusters", "DescribeDBInstances"]
        rds.members = {"orders-2": place}
        wait_for(lambda: set(targets(sidecar)) == {"orders-2"}, 30, "another member is known")
        assert bed.connect().execute("SELECT 1").fetchone() == (1,)
        rds.denied = "DescribeDBInstances"
        wait_for(lambda: "allow rds:DescribeDBInstances on arn:aws:rds:us-east-2:*:cluster:orders-cluster"
                 in sidecar.log(), 30, "the log says what is missing")
        assert bed.connect().execute("SELECT 1").fetchone() == (1,), "the last answer stays"
        assert "key-that-is-never-printed" not in sidecar.log()


@pytest.mark.parametrize(("spoil", "words"), [
    (lambda rds: setattr(rds, "denied", "DescribeDBClusters"), "allow rds:DescribeDBClusters"),
    (lambda rds: setattr(rds, "identifier", "another"), "there is none of that name"),
    (lambda rds: setattr(rds, "engine", "aurora-mysql"), "of another engine than engineFamily says"),
], ids=["denied", "missing", "another engine"])
def test_what_is_wrong_is_said(bed, spoil, words):
    with Rds("orders-cluster", {"orders-1": (bed.writer.host, bed.writer.port)}) as rds:
        spoil(rds)
        use_identifier(bed)
        operator = bed.operator(env={**aws.KEYS, "AWS_ENDPOINT_URL_RDS": rds.url}, extra=POLL)

        wait_for(lambda: any(words in row["message"] for row in operator.json("diagnostics")), 30, words)


def test_the_shapes_of_the_service_itself(bed):
    """moto's cluster: its names lead nowhere, but they are what the sidecar goes to."""
    if not aws.available():
        pytest.skip("moto is not installed: run cmake/setup.sh test")
    with aws.Moto(bed.directory) as moto:
        make = ("import boto3; rds = boto3.client('rds'); "
                "rds.create_db_cluster(DBClusterIdentifier='orders-cluster', Engine='aurora-postgresql', "
                "MasterUsername='root', MasterUserPassword='hunter2hunter2'); "
                "[rds.create_db_instance(DBInstanceIdentifier=f'orders-{n}', DBClusterIdentifier='orders-cluster', "
                "Engine='aurora-postgresql', DBInstanceClass='db.r6g.large') for n in (1, 2)]; "
                "print([i['Endpoint']['Address'] for i in rds.describe_db_instances()['DBInstances']])")
        made = run([aws.PYTHON, "-B", "-c", make], env={**moto.env, "AWS_DEFAULT_REGION": aws.REGION}).stdout
        use_identifier(bed)
        sidecar = bed.sidecar(write=False, wait=False, env=moto.env, extra=POLL)
        wait_for(lambda: sidecar.process.alive() and "RDS tells of a cluster" in sidecar.log(), 30, "RDS has told")
        wait_for(lambda: set(targets(sidecar)) == {"orders-1", "orders-2"}, 30, "both members are known")
        assert all(row["host"] in made for row in targets(sidecar).values())


def test_check_tries_what_is_needed_and_names_what_is_missing(bed):
    """dbproxyctl check --aws, with STS and Secrets Manager of moto and the stand-in of RDS."""
    if not aws.available():
        pytest.skip("moto is not installed: run cmake/setup.sh test")
    with aws.Moto(bed.directory) as moto, Rds("orders-cluster", {"orders-1": ("127.0.0.1", 5432)}) as rds:
        env = {**moto.env, "AWS_ENDPOINT_URL_RDS": rds.url}
        arn = moto.make_secret("shop/app", {"username": "app", "password": PASSWORDS["app"]})
        use_identifier(bed)

        def check(*secrets, **spec):
            def change(document):
                if document["kind"] == "DBProxy":
                    document["spec"]["auth"] = [{"secretArn": each} for each in secrets]
                    document["spec"].update(spec)
            bed.manifests.edit("orders.yaml", change)
            return run([paths.binary("dbproxyctl"), "check", "--aws", "shop/orders", "--manifests",
                        bed.manifests.directory], check=False, env=env)

        good = check(arn)
        assert good.returncode == 0, good.stdout + good.stderr
        assert "ok    credentials" in good.stdout and "is of user app" in good.stdout
        assert "ok    cluster" in good.stdout and "orders-1" in good.stdout
        rds.denied = "DescribeDBClusters"
        bad = check(arn, arn.replace("shop/app", "shop/none"), aws={"region": aws.REGION})
        assert bad.returncode == 1
        assert "FAIL  cluster" in bad.stdout and "allow rds:DescribeDBClusters" in bad.stdout
        assert "FAIL  secret" in bad.stdout and "shop/none" in bad.stdout
        for hidden in (PASSWORDS["app"], aws.KEYS["AWS_SECRET_ACCESS_KEY"]):
            assert hidden not in good.stdout + bad.stdout + bad.stderr
        policy = run([paths.binary("dbproxyctl"), "iam-policy", "shop/orders", "--manifests", bed.manifests.directory,
                      "--account", aws.ACCOUNT], env=env).stdout
        assert "rds:DescribeDBClusters" in policy and "cluster:orders-cluster" in policy
