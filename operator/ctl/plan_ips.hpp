// plan ips: the addresses that Amazon RDS Proxy would take of a VPC for a cluster, for those who compare. Pure.
#pragma once

#include <string>
#include <vector>

namespace dbproxy::ctl {

struct AddressPlan {
  std::string writer;                // "db.r5.8xlarge"
  std::vector<std::string> readers;  // each of its own class
  int endpoints = 0;                 // beside the default one
};

// The text to print; where `error` is set, why there is no plan.
std::string plan_ips(const AddressPlan& plan, std::string& error);

}  // namespace dbproxy::ctl
