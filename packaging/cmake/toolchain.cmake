# CMake reads this before a crate's C or C++ library is configured: .cargo/config.toml names it in CMAKE_TOOLCHAIN_FILE.
set(CMAKE_PROJECT_faiss_INCLUDE "${CMAKE_CURRENT_LIST_DIR}/faiss.cmake")
set(CMAKE_PROJECT_libjpeg-turbo_INCLUDE "${CMAKE_CURRENT_LIST_DIR}/libjpeg-turbo.cmake")
