"""RDS's DescribeDBClusters and DescribeDBInstances for one cluster whose members are real servers of a test.

moto knows the shapes, but its endpoints are names that lead nowhere; this one tells of addresses. It wants a signature
for the service, and checks nothing else of it.
"""

import urllib.parse

from . import aws
from .stand_in import StandIn

_ERROR = "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"


class Rds(StandIn):
    """Context manager. `members`: id → (host, port); the first is the writer. `denied`: an action that is not allowed."""

    method = "POST"

    def __init__(self, identifier: str, members: dict, engine: str = "aurora-postgresql"):
        self.identifier, self.members, self.engine = identifier, members, engine
        self.denied, self.asked = "", []

    def answer(self, request) -> tuple[int, str]:
        form = dict(urllib.parse.parse_qsl(request.rfile.read(int(request.headers["Content-Length"])).decode()))
        signed = f"/{aws.REGION}/rds/aws4_request" in request.headers.get("Authorization", "")
        return self._answer(form) if signed else (403, "unsigned")

    def _answer(self, form: dict) -> tuple[int, str]:
        action = form["Action"]
        self.asked.append(action)
        if action == self.denied:
            return 403, _ERROR.format(code="AccessDenied", message=f"User is not authorized to perform: rds:{action}")
        wanted = form.get("DBClusterIdentifier") or form.get("Filters.Filter.1.Values.Value.1")
        if wanted != self.identifier or not self.members:
            return 404, _ERROR.format(code="DBClusterNotFoundFault" if "Cluster" in action else "DBInstanceNotFound",
                                      message="not found")
        if action == "DescribeDBClusters":
            host, port = next(iter(self.members.values()))
            members = "".join(
                f"<DBClusterMember><IsClusterWriter>{str(number == 0).lower()}</IsClusterWriter>"
                f"<DBInstanceIdentifier>{name}</DBInstanceIdentifier></DBClusterMember>"
                for number, name in enumerate(self.members))
            return 200, (f"<DescribeDBClustersResponse><DescribeDBClustersResult><DBClusters><DBCluster>"
                         f"<DBClusterMembers>{members}</DBClusterMembers><Endpoint>{host}</Endpoint>"
                         f"<ReaderEndpoint>{host}</ReaderEndpoint><Engine>{self.engine}</Engine><Port>{port}</Port>"
                         "</DBCluster></DBClusters></DescribeDBClustersResult></DescribeDBClustersResponse>")
        instances = "".join(
            f"<DBInstance><DBInstanceIdentifier>{name}</DBInstanceIdentifier><Engine>{self.engine}</Engine>"
            f"<Endpoint><Address>{host}</Address><Port>{port}</Port></Endpoint></DBInstance>"
            for name, (host, port) in self.members.items())
        return 200, (f"<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances>{instances}</DBInstances>"
                     "</DescribeDBInstancesResult></DescribeDBInstancesResponse>")
