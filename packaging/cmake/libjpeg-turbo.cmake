# Half of what libjpeg-turbo's own rules build is of no use to us: the library once more without its newer interface, its
# programs, and photos of 12 and 16 bits, which are so rare that they may take longer. All that is not optimised.
cmake_language(DEFER CALL set_target_properties
    jpeg-static jpeg12-static jpeg16-static turbojpeg12-static turbojpeg16-static
    cjpeg-static cjpeg12-static cjpeg16-static djpeg-static djpeg12-static djpeg16-static
    jpegtran-static rdjpgcom wrjpgcom example-static tjbench-static tjunittest-static
    PROPERTIES COMPILE_OPTIONS -O0)
