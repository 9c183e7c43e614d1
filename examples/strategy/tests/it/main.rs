//! The example runs, and its strategy is the better one for what it is made for.

use std::process::Command;

#[test]
fn a_strategy_of_ones_own_beats_lru_in_a_loop() {
    let done = Command::new(env!("CARGO_BIN_EXE_cloudmount-strategy"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    let said = String::from_utf8(done.stdout).unwrap();
    let percents = said.lines().filter_map(|line| {
        let (_, percent) = line.strip_suffix(" % in memory")?.rsplit_once(' ')?;
        percent.parse::<u64>().ok()
    });
    let [lru, mine] = percents.collect::<Vec<_>>()[..] else {
        panic!("two lines: {said}");
    };
    assert!(mine >= lru + 20, "{said}");
}
