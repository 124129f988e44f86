//! The fuzz targets on stable Rust: each with the seeds of `fuzz/corpus/` and `tests/data/`, and with
//! a bounded number of mutations of them, always the same.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/targets.rs"]
pub(crate) mod targets;

/// Of each target; a few seconds in all.
const MUTATIONS: usize = 10_000;

/// Longer inputs say nothing new, and take long.
const MAX_BYTES: usize = 4096;

/// Pieces that mutations alone hardly find.
const TOKENS: &[&[u8]] = &[
    b"null",
    b"true",
    b"\"\"",
    b"{}",
    b"[]",
    b"[[",
    b"{\"",
    b"\":",
    b"\\ud83d",
    b"1e400",
    b"-0.0",
    b"\"type\":",
    b"\"value\":",
    b"9223372036854775808",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"0\n",
    b"99\n",
    b"\x0a\x00",
    b"\x12\x7f",
    b"\x0b",
    b"\x0c",
];

/// Numbers that depend on nothing but the seed (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// Less than `end`; 0 for 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap()
    }

    /// Small, large, or near an edge.
    pub(crate) fn integer(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => self.next() % 100,
            2 => u64::MAX,
            3 => i64::MAX.unsigned_abs() + self.next() % 2,
            // Of a float, with a short text.
            4 => 1.5_f64.to_bits(),
            _ => self.next(),
        }
    }

    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        (0..self.below(9)).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    pub(crate) fn text(&mut self) -> String {
        const CHARS: [char; 12] =
            ['a', 'Z', '0', ' ', '"', '\\', '/', '\n', '\u{0}', '\u{7f}', 'ü', '😀'];
        (0..self.below(9)).map(|_| CHARS[self.below(CHARS.len())]).collect()
    }
}

/// Every file below `folder` with this extension, or with any.
fn read(folder: &str, extension: Option<&str>, into: &mut Vec<Vec<u8>>) {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        let mut paths: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                folders.push(path);
            } else if extension.is_none_or(|wanted| path.extension().is_some_and(|e| e == wanted)) {
                into.push(fs::read(path).unwrap());
            }
        }
    }
}

fn mutate(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut data = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(data.len() + 1);
        let end = at + random.below((data.len() - at).min(64) + 1);
        match random.below(7) {
            0 => data.truncate(at),
            1 => drop(data.drain(at..end)),
            2 => {
                let piece = data[at..end].to_vec();
                data.splice(at..at, piece);
            }
            3 => drop(data.splice(at..end, TOKENS[random.below(TOKENS.len())].iter().copied())),
            4 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                let to = from + random.below((other.len() - from).min(256) + 1);
                data.splice(at..end, other[from..to].iter().copied());
            }
            5 if at < data.len() => data[at] ^= 1 << random.below(8),
            _ => data.insert(at, random.next().to_le_bytes()[0]),
        }
    }
    data.truncate(MAX_BYTES);
    data
}

fn run(target: fn(&[u8]), name: &str, golden: Option<&str>) {
    let mut seeds = Vec::new();
    read(&format!("fuzz/corpus/{name}"), None, &mut seeds);
    if let Some(extension) = golden {
        read("tests/data", Some(extension), &mut seeds);
    }
    seeds.iter().for_each(|seed| target(seed));
    let mut random = Random::new(1);
    for _ in 0..MUTATIONS {
        target(&mutate(&seeds, &mut random));
    }
}

#[test]
fn recordio() {
    run(targets::recordio, "recordio", None);
}

#[test]
fn json() {
    run(targets::json, "json", Some("json"));
}

#[test]
fn protobuf() {
    run(targets::protobuf, "protobuf", Some("pb"));
}
