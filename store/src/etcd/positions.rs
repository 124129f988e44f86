//! Which version each change has: etcd counts commits, the rest is counted here.
//!
//! A put says its position in its envelope. A deletion has no value to say it in, so it takes the
//! position after the change before it in its commit; so does what somebody else wrote. The one who
//! wrote a group and everybody who watches it come to the same versions, as long as they look at
//! the commit from its first change on.
//!
//! ```text
//!  group:   put a   delete b   put c ✗   delete d   put e
//!  offered      0          1         2          3       4
//!  commit       0          1  conflict          2       4
//! ```

use crate::{POSITIONS, Version};

/// Counts through the changes of commits, in order.
#[derive(Debug, Default)]
pub(super) struct Positions {
    revision: u64,
    /// The position after the last change of `revision`.
    next: u64,
}

impl Positions {
    /// The version of the next change, which commit `revision` made; `position` is what a put says.
    /// `None` where a commit has more changes than there are positions, which nobody makes who
    /// writes in groups.
    pub(super) fn next(&mut self, revision: u64, position: Option<u64>) -> Option<Version> {
        if self.revision != revision {
            *self = Self { revision, next: 0 };
        }
        // What somebody else copied here may say anything, but never go back.
        let position = position.unwrap_or(self.next).max(self.next);
        self.next = position + 1;
        (position < POSITIONS).then(|| Version::new(revision, position))
    }
}

#[cfg(test)]
mod tests;
