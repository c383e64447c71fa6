# Faiss in a bit over a minute instead of five, of one core. What our index does (PCA, lists, exact distances) is optimised
# as usual; the rest, of which one file of fast scans takes a minute, is only compiled, and most of that is headers, read
# once for every few files in a unity build. The files of the second list define something of the same name as others,
# and stand alone.
set(CMAKE_CXX_FLAGS_RELEASE "-O0 -DNDEBUG")
set(CMAKE_UNITY_BUILD ON)
set(CMAKE_UNITY_BUILD_BATCH_SIZE 6)
cmake_language(DEFER CALL set_source_files_properties
    faiss/Clustering.cpp
    faiss/IndexFlat.cpp
    faiss/IndexFlatCodes.cpp
    faiss/IndexIVF.cpp
    faiss/IndexIVFFlat.cpp
    faiss/IndexPreTransform.cpp
    faiss/VectorTransform.cpp
    faiss/invlists/DirectMap.cpp
    faiss/invlists/InvertedLists.cpp
    faiss/utils/Heap.cpp
    faiss/utils/distances.cpp
    faiss/utils/distances_fused/distances_fused.cpp
    faiss/utils/distances_fused/simdlib_based.cpp
    faiss/utils/distances_simd.cpp
    faiss/utils/partitioning.cpp
    faiss/utils/random.cpp
    faiss/utils/utils.cpp
    DIRECTORY faiss PROPERTIES COMPILE_OPTIONS -O3)
# What the search benchmark compares our exact search with, for processors with AVX2.
if(DEFINED ENV{FLORASCOPE_OPTIMISE_FAISS})
    cmake_language(DEFER CALL set_source_files_properties
        faiss/IndexScalarQuantizer.cpp
        faiss/impl/ScalarQuantizer.cpp
        DIRECTORY faiss PROPERTIES
        COMPILE_OPTIONS "-O3;-mavx2;-mfma;-mf16c;-mpopcnt" SKIP_UNITY_BUILD_INCLUSION ON)
endif()
cmake_language(DEFER CALL set_source_files_properties
    faiss/IndexAdditiveQuantizerFastScan.cpp
    faiss/IndexIVFAdditiveQuantizerFastScan.cpp
    faiss/IndexIVFPQFastScan.cpp
    faiss/IndexNSG.cpp
    faiss/IndexPQFastScan.cpp
    faiss/IndexReplicas.cpp
    faiss/IndexShardsIVF.cpp
    faiss/impl/lattice_Zn.cpp
    DIRECTORY faiss PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
