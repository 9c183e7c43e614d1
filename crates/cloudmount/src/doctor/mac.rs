//! macOS: which driver there is. What it says is looked up where macFUSE and FUSE-T install
//! themselves: macFUSE as the filesystem bundle `/Library/Filesystems/macfuse.fs` (its manual, "Getting
//! Started"), FUSE-T as `/usr/local/lib/libfuse-t.dylib` and the server `/usr/local/bin/go-nfsv4`
//! (its README). Compiled everywhere, so that it is tested where no Mac is.

use std::path::Path;

use super::Finding;

const CHECK: &str = "driver";

/// What is installed below `root`.
pub(super) fn driver(root: &Path) -> Finding {
    let has = |path: &str| root.join(path).exists();
    let bundle = has("Library/Filesystems/macfuse.fs");
    let library = has("usr/local/lib/libfuse-t.dylib");
    let server = has("usr/local/bin/go-nfsv4");
    match (bundle, library, server) {
        (true, true, _) => Finding::warn(CHECK, "macFUSE and FUSE-T are both installed")
            .or("remove the one that is not used: programs may take either"),
        (true, false, _) => Finding::ok(CHECK, "macFUSE is installed"),
        (false, true, true) => Finding::ok(CHECK, "FUSE-T is installed"),
        (false, true, false) => Finding::fail(
            CHECK,
            "FUSE-T is installed in part: its server go-nfsv4 is missing",
        )
        .or("install FUSE-T again (brew reinstall fuse-t)"),
        (false, false, _) => Finding::fail(CHECK, "neither macFUSE nor FUSE-T is installed")
            .or("install one: brew install --cask macfuse, or brew install fuse-t"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn each_state_has_its_finding() {
        let check = |files: &[&str], verdict: Verdict, words: &str| {
            let dir = tempfile::tempdir().unwrap();
            for file in files {
                let path = dir.path().join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "").unwrap();
            }
            let found = driver(dir.path());
            assert_eq!(found.verdict, verdict, "{found:?}");
            assert!(found.found.contains(words), "{found:?}");
        };
        let (mac, lib, server) = (
            "Library/Filesystems/macfuse.fs",
            "usr/local/lib/libfuse-t.dylib",
            "usr/local/bin/go-nfsv4",
        );
        check(&[], Verdict::Fail, "neither");
        check(&[mac], Verdict::Ok, "macFUSE is");
        check(&[lib, server], Verdict::Ok, "FUSE-T is");
        check(&[lib], Verdict::Fail, "go-nfsv4 is missing");
        check(&[mac, lib, server], Verdict::Warn, "both");
    }
}
