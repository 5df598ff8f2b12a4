"""Keys of AWS that the sidecar lends to the application beside it: real SDKs take them, and tokens made with them."""

import json
import stat
import urllib.error
import urllib.request

import pytest

from support import aws, paths
from support.ports import free_port
from support.process import run
from support.sigv4 import Sts

HOST = "orders.shop.dbproxy"


@pytest.fixture
def lender(bed):
    """A sidecar with lasting keys, and what an application beside it has in its environment."""
    if not aws.available():
        pytest.skip("moto is not installed: run cmake/setup.sh test")
    port, file = free_port("127.0.0.1"), bed.directory / "aws-credentials-token"
    with aws.Moto(bed.directory) as moto:
        sidecar = bed.sidecar(auth={"app": {"iamAuth": "REQUIRED"}}, aws={"region": aws.REGION}, env=moto.env,
                              extra=("--aws-credentials-port", port, "--aws-credentials-token-file", file))
        sidecar.lends = f"http://127.0.0.1:{port}/credentials"
        sidecar.token_file = file
        sidecar.application = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": sidecar.lends,
                               "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(file), "AWS_EC2_METADATA_DISABLED": "true",
                               "HOME": str(bed.directory)}
        yield sidecar


def ask(url, token, **headers):
    request = urllib.request.Request(url, headers={"Authorization": token, **headers})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def test_the_aws_command_and_boto3_sign_with_what_the_sidecar_lends(bed, lender):
    place = ["--hostname", HOST, "--port", str(bed.port), "--username", "app", "--region", aws.REGION]
    by_command = run([aws.PYTHON, "-B", "-m", "awscli", "rds", "generate-db-auth-token", *place],
                     env=lender.application).stdout.strip()
    boto3 = ("import boto3; print(boto3.client('rds', region_name={region!r}).generate_db_auth_token("
             "DBHostname={host!r}, Port={port}, DBUsername='app', Region={region!r}))")
    by_library = run([aws.PYTHON, "-B", "-c", boto3.format(region=aws.REGION, host=HOST, port=bed.port)],
                     env=lender.application).stdout.strip()
    by_ours = run([paths.binary("dbproxyctl"), "token", *place], env=lender.application).stdout.strip()
    for token in (by_command, by_library, by_ours):
        assert "X-Amz-Security-Token=" in token, "temporary keys"
        assert aws.KEYS["AWS_ACCESS_KEY_ID"] not in token
        with bed.connect(password=token, sslmode="require") as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("app",)
    log, metrics = lender.log(), lender.metrics()
    assert metrics.sum("dbproxy_aws_credentials_requests_total", result="given") >= 3
    secret = ask(lender.lends, lender.token_file.read_text())
    for hidden in (secret["SecretAccessKey"], secret["Token"], lender.token_file.read_text()):
        assert hidden not in log and hidden not in metrics.text
    assert aws.KEYS["AWS_SECRET_ACCESS_KEY"] != secret["SecretAccessKey"], "lasting keys are lent to nobody"


def test_who_gets_none(lender):
    token = lender.token_file.read_text()
    assert stat.S_IMODE(lender.token_file.stat().st_mode) == 0o444
    assert set(ask(lender.lends, token)) == {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}
    for status, shown, headers in [(401, "", {}), (401, token[:-1], {}), (401, token + "0", {}),
                                   (401, "Bearer " + token, {}), (403, token, {"Origin": "http://evil.example"}),
                                   (403, token, {"Host": "evil.example"})]:
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(lender.lends, shown, **headers)
        assert refused.value.code == status, (shown == token, headers)
        body = refused.value.read().decode()
        assert "AccessKeyId" not in body and token not in body
    with pytest.raises(urllib.error.HTTPError) as other:
        ask(lender.lends.replace("/credentials", "/metrics"), token)
    assert other.value.code == 404
    assert lender.metrics().sum("dbproxy_aws_credentials_requests_total", result="refused") >= 4


def test_without_keys_of_its_own_it_says_what_is_missing(bed):
    port, file = free_port("127.0.0.1"), bed.directory / "aws-credentials-token"
    bed.sidecar(env={"AWS_EC2_METADATA_DISABLED": "true", "AWS_SHARED_CREDENTIALS_FILE": str(bed.directory / "none"),
                     "HOME": str(bed.directory)},
                extra=("--aws-credentials-port", port, "--aws-credentials-token-file", file))
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(f"http://127.0.0.1:{port}/credentials", file.read_text())
    assert refused.value.code == 500
    assert json.load(refused.value)["code"] == "NoCredentials"


def test_iam_principals_hold_for_lent_keys_too(bed):
    """The sidecar asks STS whose its keys are."""
    key, secret = aws.KEYS["AWS_ACCESS_KEY_ID"], aws.KEYS["AWS_SECRET_ACCESS_KEY"]
    with Sts({key: (secret, "arn:aws:sts::123456789012:assumed-role/shop/a-pod")}) as sts:
        env = {**aws.KEYS, "AWS_ENDPOINT_URL_STS": sts.url}
        arguments = ["--hostname", HOST, "--port", str(bed.port), "--username", "app", "--region", aws.REGION]
        token = run([paths.binary("dbproxyctl"), "token", *arguments], env=env).stdout.strip()
        bed.sidecar(auth={"app": {"iamAuth": "REQUIRED", "iamPrincipals": ["arn:aws:iam::123456789012:role/shop"]}},
                    aws={"region": aws.REGION}, env=env)
        with bed.connect(password=token, sslmode="require") as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("app",)
        assert sts.asked == 1
