//! Links in the documents: each relative target exists, and so does each anchor.
//!
//! Addresses on the web are not asked: a check must not depend on somebody else's server.

use super::{Finding, tree::Tree};

/// Finds links that lead nowhere.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.with_extension("md") {
        for (line, target) in links(text) {
            if let Some(why) = broken(tree, path, text, &target) {
                findings.push(Finding::new(path, line, format!("{target}: {why}")));
            }
        }
    }
    findings
}

fn broken(tree: &Tree, path: &str, text: &str, target: &str) -> Option<&'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let (file, text) = if file.is_empty() {
        (path.to_owned(), Some(text))
    } else {
        let Some(file) = resolve(path, file) else {
            return Some("leads out of the repository");
        };
        let text = tree.get(&file);
        (file, text)
    };
    if !tree.exists(&file) {
        return Some("no such file");
    }
    let has_anchor = || text.is_some_and(|text| anchors(text).any(|known| known == anchor));
    (!anchor.is_empty() && file.ends_with(".md") && !has_anchor()).then_some("no such heading")
}

/// `target` as seen from the file `from`, as a path from the root.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Every `[text](target)` and `[name]: target` outside code, with its line.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (at, line) in prose(text) {
        if let Some((_, target)) = line
            .trim_start()
            .strip_prefix('[')
            .and_then(|l| l.split_once("]: "))
        {
            links.push((
                at,
                target
                    .split_whitespace()
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            ));
        }
        for (open, _) in line.match_indices("](") {
            let target = line[open + 2..]
                .split([')', ' '])
                .next()
                .unwrap_or_default();
            links.push((at, target.trim_matches(['<', '>']).to_owned()));
        }
    }
    links
}

/// The lines outside fenced code, with spans of code taken out.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        let plain = line.split('`').step_by(2).collect::<Vec<_>>().join("_");
        (!fenced).then_some((at + 1, plain))
    })
}

/// The anchors that headings make: lower case, blanks as `-`, other signs dropped, repeats counted.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    let mut seen: Vec<String> = Vec::new();
    let mut fenced = false;
    text.lines().filter_map(move |line| {
        fenced ^= line.trim_start().starts_with("```");
        let heading = line.trim_start_matches('#');
        if fenced || heading.len() == line.len() || !heading.starts_with(' ') {
            return None;
        }
        let slug: String = heading
            .trim()
            .to_lowercase()
            .chars()
            .filter_map(slug_char)
            .collect();
        let before = seen.iter().filter(|known| **known == slug).count();
        seen.push(slug.clone());
        Some(if before == 0 {
            slug
        } else {
            format!("{slug}-{before}")
        })
    })
}

fn slug_char(c: char) -> Option<char> {
    match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        _ => c.is_alphanumeric().then_some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let other = "# The `tree`, of 2\n\n## Twice\n\n## Twice\n```\n# no heading\n```\n";
        let tree = Tree::of(&[
            ("docs/a.md", text),
            ("docs/b.md", other),
            ("src/lib.rs", ""),
        ]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        for target in [
            "b.md",
            "./b.md",
            "../src/lib.rs",
            "../src",
            "b.md#the-tree-of-2",
            "b.md#twice-1",
            "https://example.com/x",
            "#here",
        ] {
            assert_eq!(
                found(&format!("# Here\n[x]({target})\n")),
                [""; 0],
                "{target}"
            );
        }
        assert_eq!(found("`[x](gone.md)`\n```\n[x](gone.md)\n```\n"), [""; 0]);
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        for target in [
            "gone.md",
            "../gone/b.md",
            "b.md#three",
            "b.md#no-heading",
            "#there",
            "../../x.md",
        ] {
            assert_eq!(
                found(&format!("# Here\n\ntext [x]({target})\n")).len(),
                1,
                "{target}"
            );
        }
        assert_eq!(
            found("[x]: gone.md\n"),
            ["docs/a.md:1: gone.md: no such file"]
        );
    }
}
