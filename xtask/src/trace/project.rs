//! A C project: made up, kept in git, cloned and built within a mount.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;

use super::work::Numbers;
use crate::run::Run;

/// Sources, headers, and how many headers a source includes.
const SOURCES: u64 = 160;
const HEADERS: u64 = 60;
const INCLUDES: u64 = 12;
/// Lines of tables in each source: what makes it, and its object, some 30 KiB.
const TABLE_LINES: u64 = 400;
/// Changes of the history, and the files of each.
const COMMITS: u64 = 12;
const FILES_OF_A_COMMIT: u64 = 15;

/// The repository, bare and packed, is in the bucket.
pub(super) fn prepare(bucket: &Path, scratch: &Path) -> Result<()> {
    let project = scratch.join("project");
    std::fs::create_dir_all(project.join("include"))?;
    std::fs::create_dir_all(project.join("src"))?;
    let mut numbers = Numbers::new(4);
    for header in 0..HEADERS {
        std::fs::write(
            project.join(format!("include/h{header}.h")),
            header_text(header),
        )?;
    }
    for source in 0..SOURCES {
        let text = source_text(source, &mut numbers);
        std::fs::write(project.join(format!("src/s{source}.c")), text)?;
    }
    std::fs::write(project.join("Makefile"), makefile())?;
    git(&project, "init --quiet --initial-branch main")?;
    commit(&project)?;
    for _ in 0..COMMITS {
        for _ in 0..FILES_OF_A_COMMIT {
            change(&project, &mut numbers)?;
        }
        commit(&project)?;
    }
    let bare = bucket.join("project.git");
    Run::new("git")
        .args("clone --quiet --bare --no-local")
        .arg(&project)
        .arg(bare)
        .ok()
        .map(drop)
}

/// Somebody's morning.
pub(super) fn run(mount: &Path) -> Result<()> {
    let work = mount.join("work");
    Run::new("git")
        .args("clone --quiet --no-local")
        .arg(mount.join("project.git"))
        .arg(&work)
        .ok()?;
    make(&work)?;
    git(&work, "grep --count table_of")?;
    git(&work, "log --quiet --stat -n 5")?;
    let mut numbers = Numbers::new(5);
    for _ in 0..3 {
        for _ in 0..20 {
            change(&work, &mut numbers)?;
        }
        git(&work, "status --short")?;
        git(&work, "diff --stat")?;
        make(&work)?;
    }
    std::fs::write(work.join("include/h0.h"), header_text(0) + "/* again */\n")?;
    make(&work)?;
    commit(&work)
}

fn make(folder: &Path) -> Result<()> {
    Run::new("make").args("-s -j 2").dir(folder).ok().map(drop)
}

fn git(folder: &Path, arguments: &str) -> Result<()> {
    // Nothing of who records it.
    Run::new("git")
        .args("-c user.name=nobody -c user.email=nobody@example.com -c core.pager=cat")
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .dir(folder)
        .ok()
        .map(drop)
}

fn commit(folder: &Path) -> Result<()> {
    git(folder, "add --all")?;
    git(folder, "commit --quiet --message change")
}

fn change(folder: &Path, numbers: &mut Numbers) -> Result<()> {
    let path = folder.join(format!("src/s{}.c", numbers.below(SOURCES)));
    let text = std::fs::read_to_string(&path)?;
    let number = numbers.below(1 << 30);
    std::fs::write(
        path,
        format!("{text}int changed_{number}(void) {{ return {number}; }}\n"),
    )?;
    Ok(())
}

fn header_text(header: u64) -> String {
    let mut text = format!("#ifndef H{header}\n#define H{header}\n");
    // Each stands on some of those before it, and all on the first.
    for below in [0, header / 2, header / 3] {
        if below < header {
            let _ = writeln!(text, "#include \"h{below}.h\"");
        }
    }
    for number in 0..120 {
        let _ = writeln!(
            text,
            "static inline int f{header}_{number}(int x) {{ return x * {number} + {header}; }}"
        );
    }
    text + "#endif\n"
}

fn source_text(source: u64, numbers: &mut Numbers) -> String {
    let mut text = String::new();
    for _ in 0..INCLUDES {
        let _ = writeln!(text, "#include \"h{}.h\"", numbers.below(HEADERS));
    }
    let _ = writeln!(text, "const unsigned table_of_{source}[] = {{");
    for _ in 0..TABLE_LINES {
        let row: Vec<_> = (0..6).map(|_| numbers.below(1 << 32).to_string()).collect();
        let _ = writeln!(text, "{}u,", row.join("u, "));
    }
    let _ = writeln!(text, "}};\nint s{source}(int x) {{ return x + {source}; }}");
    text
}

fn makefile() -> String {
    let objects: Vec<_> = (0..SOURCES).map(|n| format!("build/s{n}.o")).collect();
    let objects = objects.join(" ");
    format!(
        "build/all.so: {objects}\n\tcc -shared -o $@ $^\n\
         build/%.o: src/%.c\n\t@mkdir -p build\n\tcc -c -fPIC -MMD -Iinclude -o $@ $<\n\
         -include build/*.d\n"
    )
}
