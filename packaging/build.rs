//! Lets the program find libtorch without `LD_LIBRARY_PATH`: first beside itself, then where `make setup` put it.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=.deps");
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/lib");
    match Path::new(".deps").canonicalize() {
        Ok(libraries) if libraries.join("torch/lib").is_dir() => {
            println!("cargo::rustc-link-arg=-Wl,-rpath,{}", libraries.join("torch/lib").display());
            println!("cargo::rustc-env=FLORASCOPE_DEPS={}", libraries.display());
        }
        _ => println!("cargo::error=libtorch is not there (.deps/torch/lib): run `make setup`, then build again"),
    }
}
