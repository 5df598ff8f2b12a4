"""Tokens for database users, against those of the real aws command; and what iam-policy prints."""

import json

import pytest

from support import aws, paths
from support.process import run

HOST = "orders.cluster-abc.us-east-2.rds.amazonaws.com"


def ours(environment, *arguments):
    return run([paths.binary("dbproxyctl"), "token", *arguments], env=environment).stdout.strip()


def theirs(environment, *arguments):
    return run([aws.PYTHON, "-B", "-m", "awscli", "rds", "generate-db-auth-token", *arguments],
               env=environment).stdout.strip()


@pytest.mark.parametrize("session", ["", "FwoGZXIvYXdzEBYa+/session=="], ids=["keys", "session"])
@pytest.mark.parametrize("user", ["app", "jane doe/ü@example.com"], ids=["plain", "odd"])
def test_tokens_are_those_of_the_aws_command(session, user):
    if not aws.available():
        pytest.skip("the aws command is not installed: run cmake/setup.sh test")
    environment = {**aws.KEYS, **({"AWS_SESSION_TOKEN": session} if session else {}), "PYTHONUTF8": "1"}
    arguments = ["--hostname", HOST, "--port", "5432", "--username", user, "--region", "us-east-2"]
    for _ in range(5):
        # Both name the second they were made in.
        before, real = ours(environment, *arguments), theirs(environment, *arguments)
        after = ours(environment, *arguments)
        stamp = real.split("X-Amz-Date=")[1][:16]
        # Between the two of ours there are too many seconds to try them all: the library is asked for ours again.
        if stamp in before:
            assert real == before
            return
        if stamp in after:
            assert real == after
            return
        code = ("import datetime, sys, botocore.auth, botocore.session\n"
                "when = datetime.datetime.strptime(sys.argv[1], '%Y%m%dT%H%M%SZ')\n"
                "utc = when.replace(tzinfo=datetime.timezone.utc)\n"
                "botocore.auth.get_current_datetime = lambda remove_tzinfo=True: when if remove_tzinfo else utc\n"
                "client = botocore.session.Session().create_client('rds', region_name='us-east-2')\n"
                "print(client.generate_db_auth_token(sys.argv[2], 5432, sys.argv[3]))")
        stamp = after.split("X-Amz-Date=")[1][:16]
        again = run([aws.PYTHON, "-B", "-c", code, stamp, HOST, user], env=environment).stdout.strip()
        assert again == after
        assert real.split("X-Amz-Date=")[0] == after.split("X-Amz-Date=")[0]
        return


def test_without_credentials_the_remedy_is_named():
    done = run([paths.binary("dbproxyctl"), "token", "--hostname", HOST, "--port", "5432", "--username", "app"],
               env={"AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nonexistent"}, check=False)
    assert done.returncode == 1
    assert "no AWS credentials" in done.stderr and "IRSA" in done.stderr


def test_iam_policy_of_a_manifest(tmp_path):
    (tmp_path / "orders.yaml").write_text("""
apiVersion: dbproxy.io/v1alpha1
kind: DBProxy
metadata: {name: orders, namespace: shop}
spec:
  engineFamily: POSTGRESQL
  auth: [{secretArn: "arn:aws:secretsmanager:us-east-2:123456789012:secret:orders-app-AbCdEf"}]
  targetGroups: [{dbCluster: {endpoint: /tmp}}]
""")
    done = run([paths.binary("dbproxyctl"), "iam-policy", "shop/orders", "--manifests", tmp_path])
    printed = json.loads(done.stdout)
    assert printed["policy"]["Statement"][0]["Action"] == "secretsmanager:GetSecretValue"
    assert printed["trustPolicy"]["Statement"][0]["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert run([paths.binary("dbproxyctl"), "iam-policy", "other", "--manifests", tmp_path], check=False).returncode == 1
