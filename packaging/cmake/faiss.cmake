# Faiss in a minute instead of three, on two cores. At -O3 the compiler spends a minute on one file of fast scans that we
# do not use; -O2 with -O3's vectorization runs what we do use as quickly. Most of the rest is headers, read once for
# every few files in a unity build; the files below define something of the same name as others, and stand alone.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -fvect-cost-model=dynamic -DNDEBUG")
set(CMAKE_UNITY_BUILD ON)
set(CMAKE_UNITY_BUILD_BATCH_SIZE 6)
cmake_language(DEFER CALL set_source_files_properties
    faiss/IndexAdditiveQuantizerFastScan.cpp
    faiss/IndexIVFAdditiveQuantizerFastScan.cpp
    faiss/IndexIVFPQFastScan.cpp
    faiss/IndexNSG.cpp
    faiss/IndexPQFastScan.cpp
    faiss/IndexReplicas.cpp
    DIRECTORY faiss PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
