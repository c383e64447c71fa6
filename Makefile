# Everything a fresh checkout needs. After `make setup` plain cargo commands and an IDE work as well.
#
#   ARGS="…"      what `make run` hands to the program, and `make package` to packaging/package.py
#   GPU=1, GPU=0  fetch the CUDA libraries, or never do; unset: where an NVIDIA GPU is found
#   PYTHON=…      the Python that runs the set-up

PYTHON ?= python3
export GPU

# Where rustup puts cargo, for shells that have not read the user's profile.
export PATH := $(PATH):$(HOME)/.cargo/bin

.DEFAULT_GOAL := help
.PHONY: help run test setup package

help:  ## List what can be made
	@sed -n 's/^\([a-z]*\):.*## */\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

setup:  ## Fetch libraries and weights, install missing system packages
	@$(PYTHON) -B packaging/setup.py

run: setup  ## Set up, build and open the window (ARGS="…" for the command line)
	cargo run --release --locked -- $(ARGS)

test: setup  ## Set up and run all checks and tests
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || rustup component add rustfmt clippy
	$(PYTHON) -B -m unittest discover --start-directory packaging
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
	cargo test --locked

package: setup  ## Make the Debian package and the archive for users, into target/packages
	$(PYTHON) -B packaging/package.py $(ARGS)
