//! `oci:/path/to/layout:tag`.

use std::path::PathBuf;

use super::Error;

/// An image in a layout directory of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// As the task has it, for messages.
    pub(super) image: String,
    /// The layout directory, absolute.
    pub(super) layout: PathBuf,
    /// Which image of it; `None` where it has only one.
    pub(super) tag: Option<String>,
}

impl Reference {
    /// # Errors
    /// The text names no layout directory.
    pub(super) fn parse(image: &str) -> Result<Self, Error> {
        let not_found =
            |why: &str| Error::NotFound { image: image.to_owned(), why: why.to_owned() };
        let Some(rest) = image.strip_prefix("oci:") else {
            return Err(not_found("only OCI layouts on the agent, `oci:/path:tag`, are supported"));
        };
        // A colon before the last slash is part of a directory's name.
        let name_begins = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (layout, tag) = match rest[name_begins..].rfind(':') {
            Some(colon) => {
                let (layout, tag) = rest.split_at(name_begins + colon);
                (layout, Some(tag[1..].to_owned()))
            }
            None => (rest, None),
        };
        if !layout.starts_with('/') || layout.split('/').any(|part| part == "..") {
            return Err(not_found("the layout must be an absolute path without `..`"));
        }
        if tag.as_deref() == Some("") {
            return Err(not_found("the tag is empty"));
        }
        Ok(Self { image: image.to_owned(), layout: PathBuf::from(layout), tag })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_tag() {
        let parsed = |text: &str| {
            let reference = Reference::parse(text).ok()?;
            Some((reference.layout.to_str().unwrap().to_owned(), reference.tag))
        };
        let some = |path: &str, tag: &str| Some((path.to_owned(), Some(tag.to_owned())));
        assert_eq!(parsed("oci:/a/b:v1"), some("/a/b", "v1"));
        assert_eq!(parsed("oci:/a:1/b"), Some(("/a:1/b".to_owned(), None)));
        assert_eq!(parsed("oci:/a:1/b:2"), some("/a:1/b", "2"));
        for bad in ["busybox", "oci:a:b", "oci:/a/../b:c", "oci:/a:", "docker://a"] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }
}
