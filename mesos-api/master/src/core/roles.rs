//! The syntax of roles: `*`, or components between slashes.

/// The longest role. Mesos has no bound; a record's field has.
const MAX_LENGTH: usize = meseta_crds::validate::MAX_ROLE_LENGTH;

/// The role of whoever names none.
pub const DEFAULT: &str = "*";

/// Checks a role.
///
/// # Errors
/// What is wrong with it, in Mesos' words.
pub fn check(role: &str) -> Result<(), String> {
    if role == DEFAULT {
        return Ok(());
    }
    if role.is_empty() {
        return Err("Role names cannot be the empty string".to_owned());
    }
    if role.len() > MAX_LENGTH {
        return Err(format!("Role names cannot be longer than {MAX_LENGTH} bytes"));
    }
    let shown = role.escape_debug();
    if role.starts_with('/') {
        return Err(format!("Role '{shown}' cannot start with a slash"));
    }
    if role.ends_with('/') {
        return Err(format!("Role '{shown}' cannot end with a slash"));
    }
    if role.contains("//") {
        return Err(format!("Role '{shown}' cannot contain two adjacent slashes"));
    }
    role.split('/').try_for_each(|component| {
        if matches!(component, "." | ".." | "*") {
            return Err(format!("Role '{shown}' cannot include '{component}' as a component"));
        }
        let fault = if component.starts_with('-') {
            "it starts with a dash"
        } else if component.contains(|c: char| c.is_whitespace() || c.is_control()) {
            "it contains backspace or whitespace"
        } else {
            return Ok(());
        };
        let component = component.escape_debug();
        Err(format!("Role component '{component}' is invalid because {fault}"))
    })
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_role_is_a_star_or_a_path_of_components() {
        for role in ["*", "a", "eng/etl", "a.b", "...", "a-b", "eng/*x", "ünïcode"] {
            assert_eq!(check(role), Ok(()), "{role}");
        }
        for (role, gist) in [
            ("", "empty string"),
            ("/a", "start with a slash"),
            ("a/", "end with a slash"),
            ("/", "start with a slash"),
            ("a//b", "two adjacent slashes"),
            (".", "include '.'"),
            ("a/..", "include '..'"),
            ("a/*", "include '*'"),
            ("a/-b", "starts with a dash"),
            ("-a", "starts with a dash"),
            ("a b", "whitespace"),
            ("a\tb", "whitespace"),
            ("a\u{7f}", "backspace"),
            ("a\u{0}", "backspace"),
            (&"a".repeat(254), "longer than 253"),
        ] {
            let fault = check(role).expect_err(role);
            assert!(fault.contains(gist), "{role}: {fault}");
        }
    }

    #[test]
    fn what_passes_here_passes_in_a_record_too() {
        for role in ["*", "a", "eng/etl", "a.b", "...", "eng/*x", "ünïcode", &"a".repeat(253)] {
            let spec = meseta_crds::FrameworkRoleSpec {
                path: role.to_owned(),
                weight: 1,
                guarantees: std::collections::BTreeMap::new(),
                limits: std::collections::BTreeMap::new(),
            };
            assert_eq!(meseta_crds::validate::framework_role_spec(&spec), [], "{role}");
        }
    }
}
