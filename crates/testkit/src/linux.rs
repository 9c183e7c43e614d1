//! [`linux_version`]: which Linux the tests run on, for those of what only newer ones have.

/// The first two numbers of the kernel's release; zeros where it tells none, as where it is not Linux.
#[must_use]
pub fn linux_version() -> (u32, u32) {
    version_of(&std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default())
}

fn version_of(release: &str) -> (u32, u32) {
    let mut numbers = release.trim().split(|c: char| !c.is_ascii_digit());
    let mut number = || {
        numbers
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    };
    (number(), number())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_begin_with_the_version() {
        for (release, expected) in [
            ("6.9.0-rc1-amd64\n", (6, 9)),
            ("6.16-custom", (6, 16)),
            ("7-next", (7, 0)),
            ("", (0, 0)),
        ] {
            assert_eq!(version_of(release), expected, "{release}");
        }
    }
}
