# Compiler, linker and sanitizer settings that hold for every target.
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
  # A precompiled header defeats ccache unless its time stamp is ignored.
  set(ENV{CCACHE_SLOPPINESS} "pch_defines,time_macros,include_file_mtime,include_file_ctime")
endif()
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM AND NOT DBPROXY_FUZZ AND NOT CMAKE_CROSSCOMPILING)
  add_link_options(-fuse-ld=mold)
endif()

add_compile_options(-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Werror=return-type -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports false positives of these two in inlined std::string and std::vector code.
  add_compile_options(-Wno-restrict -Wno-maybe-uninitialized)
endif()
add_compile_definitions(BOOST_ASIO_NO_DEPRECATED _FILE_OFFSET_BITS=64)
if(DBPROXY_SANITIZE)
  add_compile_options(-fsanitize=${DBPROXY_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${DBPROXY_SANITIZE})
endif()
add_link_options(-Wl,--as-needed)
