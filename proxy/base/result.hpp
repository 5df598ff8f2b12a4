// Result<T>: a value or an error code; the data path throws nothing.
//
// Each module has one documented enum of errors, made into a boost::system::error_code by its own category.
#pragma once

#include <boost/system/result.hpp>

namespace dbproxy {

using ErrorCode = boost::system::error_code;

template <class T>
using Result = boost::system::result<T>;

}  // namespace dbproxy
