//! Names and hashes that are the same on every attempt and on every control plane.

use meseta_crds::framework::TaskSet;

/// Longest name of a record (a DNS subdomain).
const MAX_NAME_LENGTH: usize = 253;
/// Longest value of a label.
const MAX_LABEL_LENGTH: usize = 63;

/// Name of one incarnation of one index of a set.
pub(super) fn task_name(framework: &str, set: &str, index: i64, incarnation: i64) -> String {
    let name = format!("{framework}-{set}-{index}");
    let name = if incarnation == 0 { name } else { format!("{name}-r{incarnation}") };
    shortened(&name, MAX_NAME_LENGTH)
}

/// The text, or, where a label value has no room for it, its beginning and its hash.
#[must_use]
pub fn label_value(text: &str) -> String {
    shortened(text, MAX_LABEL_LENGTH)
}

fn shortened(text: &str, max_length: usize) -> String {
    if text.len() <= max_length {
        return text.to_owned();
    }
    let hash = short_hash(text.as_bytes());
    let mut end = max_length - hash.len() - 1;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}-{hash}", text[..end].trim_end_matches(['-', '.']))
}

/// Hash of what the tasks of a set are made from, and, after a dash, how many they are told to be.
pub(super) fn template_hash(role: &str, set: &TaskSet) -> String {
    let template = serde_json::to_vec(&(role, &set.template))
        .expect("a template has no maps with keys that are not text");
    format!("{}-{}", short_hash(&template), set.replicas)
}

/// The part of a template hash that is about the template alone.
pub(super) fn template_part(hash: &str) -> &str {
    hash.split_once('-').map_or(hash, |(template, _)| template)
}

/// FNV-1a, 64 bits, in hex. Guards against accidents, not against an adversary: who can choose the
/// text can choose the name as well.
#[must_use]
pub fn short_hash(bytes: &[u8]) -> String {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let hash =
        bytes.iter().fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME));
    format!("{hash:016x}")
}
