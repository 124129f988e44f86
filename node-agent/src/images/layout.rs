//! An OCI layout directory: index, manifest and config, each verified before it is read.
//!
//! Follows the image specification 1.1: `image-layout.md`, `image-index.md`, `manifest.md`,
//! `config.md`. Docker's media types are taken for what they mean.

use std::fs::File;
use std::io::{self, Read as _};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::Error;
use super::reference::Reference;
use crate::beneath::{Dir, Inside};

/// The largest index, manifest or config, in bytes; registries have the same limit.
const MAX_DOCUMENT_BYTES: u64 = 4 * 1024 * 1024;
/// The most layers of an image; as Docker's, and below what an overlay can join.
const MAX_LAYERS: usize = 127;
/// Indexes in indexes.
const MAX_INDEX_DEPTH: usize = 4;
/// The annotation that carries a tag.
const TAG: &str = "org.opencontainers.image.ref.name";
/// Tags that are listed to people.
const MAX_TAGS_SHOWN: usize = 10;

/// An image that was found and whose config was read.
#[derive(Debug)]
pub(super) struct Found {
    /// As the task has it, for messages.
    pub(super) image: String,
    /// The layout directory, open.
    pub(super) directory: Dir,
    /// What the config says.
    pub(super) config: ImageConfig,
    /// Bottom to top.
    pub(super) layers: Vec<Layer>,
}

/// One layer: the blob, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) blob: Blob,
    /// Of the unpacked archive.
    pub(super) diff_id: Sha,
}

/// A blob as a descriptor promises it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) digest: Sha,
    pub(super) size: u64,
}

/// A SHA-256, as 64 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sha(String);

/// The part of an image's config that says how to run it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ImageConfig {
    /// `user[:group]`, by name or number.
    pub(crate) user: Option<String>,
    /// `NAME=value`.
    pub(crate) env: Option<Vec<String>>,
    /// Program and first arguments.
    pub(crate) entrypoint: Option<Vec<String>>,
    /// Arguments, or program where there is no entrypoint.
    pub(crate) cmd: Option<Vec<String>>,
    /// Working directory.
    pub(crate) working_dir: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    config: Descriptor,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    platform: Option<Platform>,
}

#[derive(Clone, Deserialize)]
struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
}

#[derive(Deserialize)]
struct ConfigFile {
    #[serde(flatten)]
    platform: Platform,
    #[serde(default)]
    config: Option<ImageConfig>,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<String>,
}

impl Sha {
    /// The hash of `bytes`.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self::from_hash(&Sha256::digest(bytes))
    }

    /// A finished hash.
    pub(super) fn from_hash(hash: &[u8]) -> Self {
        use std::fmt::Write as _;
        Self(hash.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }

    fn parse(digest: &str) -> Result<Self, String> {
        let Some(hex) = digest.strip_prefix("sha256:") else {
            return Err(format!("the digest `{digest}` is not a sha256 one"));
        };
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if hex.len() == 64 && hex.bytes().all(digit) {
            Ok(Self(hex.to_owned()))
        } else {
            Err(format!("`{digest}` is not a digest"))
        }
    }

    /// The hex digits.
    pub(super) fn hex(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Sha {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

impl Found {
    /// The chain ids of the layers, bottom to top: each stands for a layer and all beneath it.
    pub(super) fn chain_ids(&self) -> Vec<Sha> {
        let mut chain: Vec<Sha> = Vec::new();
        for layer in &self.layers {
            let next = match chain.last() {
                None => layer.diff_id.clone(),
                Some(below) => Sha::of(format!("{below} {}", layer.diff_id).as_bytes()),
            };
            chain.push(next);
        }
        chain
    }

    /// Opens the blob of a layer.
    ///
    /// # Errors
    /// It is not there, or has another size.
    pub(super) fn open(&self, layer: &Layer) -> Result<File, Error> {
        open_blob(&self.directory, &layer.blob, &self.image)
    }
}

/// Reads index, manifest and config of an image.
///
/// # Errors
/// Something is missing, or is not what it should be.
pub(super) fn read(reference: &Reference) -> Result<Found, Error> {
    let image = &reference.image;
    let shown = reference.layout.display();
    let not_found = |why: String| Error::NotFound { image: image.clone(), why };
    let directory = Dir::open(&reference.layout)
        .map_err(|err| not_found(format!("cannot open the layout {shown}: {err}")))?;
    if read_file(&directory, "oci-layout", image)?.is_none() {
        return Err(not_found(format!("{shown} is no OCI layout: it has no `oci-layout`")));
    }
    let index = read_file(&directory, "index.json", image)?
        .ok_or_else(|| not_found(format!("{shown} is no OCI layout: it has no `index.json`")))?;
    let index: Index = parse(&index, "index.json", image)?;
    let descriptor = choose(index, reference)?;
    let manifest = resolve(&directory, descriptor, image)?;

    let config_blob = blob(&manifest.config, image)?;
    let config = read_blob(&directory, &config_blob, image)?;
    let config: ConfigFile = parse(&config, &config_blob.digest.to_string(), image)?;
    if !runs_here(&config.platform) {
        let Platform { os, architecture } = config.platform;
        let why = format!("it is for {os}/{architecture}, this agent is {}", here());
        return Err(not_found(why));
    }
    let layers = layers(&manifest, &config.rootfs, &config_blob, image)?;
    let config = config.config.unwrap_or_default();
    Ok(Found { image: image.clone(), directory, config, layers })
}

/// The image that the tag names.
fn choose(index: Index, reference: &Reference) -> Result<Descriptor, Error> {
    let Reference { image, tag, layout } = reference;
    let tags: Vec<String> =
        index.manifests.iter().filter_map(|d| d.annotations.get(TAG).cloned()).collect();
    let mut chosen: Vec<Descriptor> = match tag {
        Some(tag) => {
            let tagged = |d: &Descriptor| d.annotations.get(TAG) == Some(tag);
            index.manifests.into_iter().filter(tagged).collect()
        }
        None => index.manifests,
    };
    if chosen.len() > 1 {
        chosen.retain(|descriptor| descriptor.platform.as_ref().is_none_or(runs_here));
    }
    let shown = tags.get(..MAX_TAGS_SHOWN).unwrap_or(&tags).join(", ");
    let layout = layout.display();
    let why = match (chosen.pop(), chosen.is_empty(), tag) {
        (Some(descriptor), true, _) => return Ok(descriptor),
        (None, _, Some(tag)) => format!("{layout} has no tag `{tag}`; its tags: {shown}"),
        (None, _, None) => format!("{layout} has no image"),
        (Some(_), false, None) => format!("{layout} has several images; name one of: {shown}"),
        (Some(_), false, Some(tag)) => format!("{layout} has several images with tag `{tag}`"),
    };
    Err(Error::NotFound { image: image.clone(), why })
}

/// The manifest, through indexes of platforms if need be.
fn resolve(directory: &Dir, mut descriptor: Descriptor, image: &str) -> Result<Manifest, Error> {
    for _ in 0..MAX_INDEX_DEPTH {
        let wanted = blob(&descriptor, image)?;
        let bytes = read_blob(directory, &wanted, image)?;
        let name = wanted.digest.to_string();
        let is_index = descriptor.media_type.contains("image.index")
            || descriptor.media_type.contains("manifest.list");
        if !is_index {
            return parse(&bytes, &name, image);
        }
        let index: Index = parse(&bytes, &name, image)?;
        let fits = |d: &Descriptor| d.platform.as_ref().is_some_and(runs_here);
        let found = index.manifests.into_iter().find(fits);
        descriptor = found.ok_or_else(|| Error::NotFound {
            image: image.to_owned(),
            why: format!("it has no variant for {}", here()),
        })?;
    }
    let what = descriptor.digest;
    Err(corrupt(image, &what, "indexes are nested too deeply"))
}

fn layers(
    manifest: &Manifest,
    root: &RootFs,
    config: &Blob,
    image: &str,
) -> Result<Vec<Layer>, Error> {
    if manifest.layers.len() != root.diff_ids.len() || manifest.layers.is_empty() {
        let (blobs, diffs) = (manifest.layers.len(), root.diff_ids.len());
        let why = format!("the manifest has {blobs} layers, the config {diffs}");
        return Err(corrupt(image, &config.digest.to_string(), &why));
    }
    if manifest.layers.len() > MAX_LAYERS {
        let why = format!("it has more than {MAX_LAYERS} layers");
        return Err(corrupt(image, &config.digest.to_string(), &why));
    }
    let pairs = manifest.layers.iter().zip(&root.diff_ids);
    pairs
        .map(|(descriptor, diff_id)| {
            let diff_id = Sha::parse(diff_id)
                .map_err(|why| corrupt(image, &config.digest.to_string(), &why))?;
            Ok(Layer { blob: blob(descriptor, image)?, diff_id })
        })
        .collect()
}

fn blob(descriptor: &Descriptor, image: &str) -> Result<Blob, Error> {
    let digest =
        Sha::parse(&descriptor.digest).map_err(|why| corrupt(image, &descriptor.digest, &why))?;
    Ok(Blob { digest, size: descriptor.size })
}

fn read_blob(directory: &Dir, blob: &Blob, image: &str) -> Result<Vec<u8>, Error> {
    let name = blob.digest.to_string();
    if blob.size > MAX_DOCUMENT_BYTES {
        return Err(corrupt(image, &name, "it is larger than any manifest or config"));
    }
    let mut bytes = Vec::new();
    let file = open_blob(directory, blob, image)?;
    let read = file.take(MAX_DOCUMENT_BYTES).read_to_end(&mut bytes);
    read.map_err(|source| Error::Io { what: name.clone(), source })?;
    if Sha::of(&bytes) == blob.digest {
        Ok(bytes)
    } else {
        Err(corrupt(image, &name, "its content differs from its digest"))
    }
}

fn open_blob(directory: &Dir, blob: &Blob, image: &str) -> Result<File, Error> {
    let name = blob.digest.to_string();
    let path = Inside::parse(format!("blobs/sha256/{}", blob.digest.hex()).as_bytes())
        .expect("hex digits are a name");
    let missing =
        |why: String| Error::Corrupt { image: image.to_owned(), what: format!("blob {name}"), why };
    let file = match directory.file(&path) {
        Ok(Some(file)) => file,
        Ok(None) => return Err(missing("it is missing from the layout".to_owned())),
        Err(err) => return Err(missing(format!("it cannot be opened: {err}"))),
    };
    let size = file.metadata().map_err(|source| Error::Io { what: name.clone(), source })?.len();
    if size == blob.size {
        Ok(file)
    } else {
        Err(missing(format!("it has {size} bytes instead of {}", blob.size)))
    }
}

fn read_file(directory: &Dir, name: &str, image: &str) -> Result<Option<Vec<u8>>, Error> {
    let io = |source: io::Error| Error::NotFound {
        image: image.to_owned(),
        why: format!("`{name}` cannot be read: {source}"),
    };
    let path = Inside::parse(name.as_bytes()).expect("a constant that is a name");
    let Some(file) = directory.file(&path).map_err(io)? else { return Ok(None) };
    let mut bytes = Vec::new();
    let length = file.take(MAX_DOCUMENT_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    if u64::try_from(length).is_ok_and(|length| length <= MAX_DOCUMENT_BYTES) {
        Ok(Some(bytes))
    } else {
        Err(corrupt(image, name, "it is larger than any index"))
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8], what: &str, image: &str) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|err| corrupt(image, what, &err.to_string()))
}

/// Something of an image that is not as it should be.
pub(super) fn corrupt(image: &str, what: &str, why: &str) -> Error {
    let what = if what.starts_with("sha256:") { format!("blob {what}") } else { what.to_owned() };
    Error::Corrupt { image: image.to_owned(), what, why: why.to_owned() }
}

/// Whether a program for `platform` runs on this machine; what is not said is believed to fit.
fn runs_here(platform: &Platform) -> bool {
    (platform.os.is_empty() || platform.os == "linux")
        && (platform.architecture.is_empty() || platform.architecture == architecture())
}

/// This machine as images name it.
fn here() -> String {
    format!("linux/{}", architecture())
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
