//! What decides must not act: no clock, I/O, `async` or unordered map in `controllers/planning`.

use std::path::Path;

/// What must not stand in the sources, outside comments, and why.
const FORBIDDEN: [(&str, &str); 15] = [
    ("std::time::Instant", "time is an input"),
    ("Instant::now", "time is an input"),
    ("SystemTime", "time is an input"),
    ("Timestamp::now", "time is an input"),
    ("Zoned::now", "time is an input"),
    ("std::fs", "no I/O"),
    ("std::net", "no I/O"),
    ("std::env", "configuration is an input"),
    ("std::thread", "no threads"),
    ("tokio", "no I/O"),
    ("async fn", "no async"),
    ("async move", "no async"),
    (".await", "no async"),
    ("HashMap", "its order changes from run to run; use BTreeMap"),
    ("HashSet", "its order changes from run to run; use BTreeSet"),
];

/// The faults of all Rust files beneath `folder`.
pub(crate) fn faults_beneath(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                faults.extend(in_source(
                    &path.display().to_string(),
                    &std::fs::read_to_string(&path)?,
                ));
            }
        }
    }
    faults.sort();
    Ok(faults)
}

fn in_source(name: &str, source: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, line) in source.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for (token, why) in FORBIDDEN {
            if code.contains(token) {
                faults.push(format!("{name}:{}: `{token}`: {why}", number + 1));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_forbidden_word_is_found() {
        for (token, _) in FORBIDDEN {
            assert!(!in_source("a.rs", &format!("x {token} y")).is_empty(), "{token}");
        }
        let found = in_source("a.rs", "fn a() {}\nasync fn b() {}\n");
        assert_eq!(found, ["a.rs:2: `async fn`: no async"]);
    }

    #[test]
    fn comments_and_pure_code_pass() {
        assert_eq!(
            in_source("a.rs", "/// unlike tokio\nuse std::collections::BTreeMap;\n"),
            [""; 0]
        );
    }
}
