// What dbproxyctl's command line says: filled by main.cpp, read by what carries it out. Plain data.
#pragma once

#include <cstdint>
#include <string>

#include "operator/ctl/commands.hpp"
#include "operator/ctl/export.hpp"
#include "operator/ctl/iam_policy.hpp"
#include "operator/ctl/import.hpp"
#include "operator/ctl/inject.hpp"
#include "operator/ctl/plan_connections.hpp"
#include "operator/ctl/plan_ips.hpp"
#include "operator/ctl/preflight.hpp"
#include "operator/ctl/top.hpp"

namespace dbproxy::ctl {

struct Flags {
  std::string tool;  // a command of tools.hpp; empty: one that asks an operator or a sidecar
  Options options;
  Where where;
  std::string token_file;
  InjectOptions inject;
  bool ordinary = false;
  PreflightOptions preflight;
  int preflight_seconds = 5;
  AddressPlan addresses;
  Load load;
  std::string kubeconfig;
  IamPolicyOptions policy;
  ImportOptions import;
  TopOptions top;
  ExportOptions exported;
  std::string check_aws;  // a DBProxy's name
  std::string token_host, token_user, token_region, token_proxy;
  std::uint16_t token_port = 0;
};

}  // namespace dbproxy::ctl
