//! Random tests that can be run again: each prints its seed, and `FLORASCOPE_TEST_SEED` brings that seed back.

use std::time::{SystemTime, UNIX_EPOCH};

pub use florascope::random::Random;

/// The variable that runs a random test again with the seed that it printed.
const VARIABLE: &str = "FLORASCOPE_TEST_SEED";

/// Another seed at each run.
pub fn new_seed() -> u64 {
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    seed(Random::new(nanoseconds).next_u64())
}

/// This seed at each run.
pub fn seed(seed: u64) -> u64 {
    let seed = std::env::var(VARIABLE).map_or(seed, |text| text.parse().expect("the seed is a number"));
    println!("run this again with {VARIABLE}={seed}");
    seed
}

/// One of these.
pub fn any<'a, T>(random: &mut Random, items: &'a [T]) -> &'a T {
    &items[random.below(items.len())]
}
