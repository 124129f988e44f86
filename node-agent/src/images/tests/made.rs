//! OCI layouts made by hand, so that anything can be wrong with them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tar::{EntryType, Header};

use crate::images::layout::Sha;

/// An archive that is written entry by entry.
#[derive(Default)]
pub(super) struct Archive(Vec<u8>);

impl Archive {
    /// Any header with any content.
    pub(super) fn raw(mut self, mut header: Header, content: &[u8]) -> Self {
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().div_ceil(512) * 512, 0);
        self
    }

    /// An entry with any name, checked by nobody.
    pub(super) fn entry(self, kind: EntryType, name: &str, link: &str, content: &[u8]) -> Self {
        self.raw(header(kind, name, link), content)
    }

    pub(super) fn file(self, name: &str, content: &str) -> Self {
        self.entry(EntryType::Regular, name, "", content.as_bytes())
    }

    pub(super) fn directory(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name, "", b"")
    }

    pub(super) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, target, b"")
    }

    pub(super) fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Link, name, target, b"")
    }

    /// PAX records for the entry that follows.
    pub(super) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut text = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length += 1;
            }
            text.extend_from_slice(format!("{length} {key}=").as_bytes());
            text.extend_from_slice(value);
            text.push(b'\n');
        }
        self.raw(header(EntryType::XHeader, "pax", ""), &text)
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

pub(super) fn header(kind: EntryType, name: &str, link: &str) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_000_000);
    // By bytes: the crate refuses what these tests are about.
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    old.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A layout with one image, in a temporary directory.
pub(super) struct Made {
    directory: tempfile::TempDir,
    /// Descriptors of the layers' blobs.
    pub(super) layers: Vec<Value>,
    /// Digests of the layers' archives.
    pub(super) diff_ids: Vec<String>,
    /// The rest of the config file.
    pub(super) config: Value,
}

impl Made {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("blobs/sha256")).unwrap();
        let version = json!({"imageLayoutVersion": "1.0.0"}).to_string();
        std::fs::write(directory.path().join("oci-layout"), version).unwrap();
        let config = json!({"os": "linux", "config": {}});
        Self { directory, layers: Vec::new(), diff_ids: Vec::new(), config }
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where the blob with this digest is.
    pub(super) fn blob_path(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        self.path().join("blobs/sha256").join(hex)
    }

    /// Stores a blob; its descriptor.
    pub(super) fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Sha::of(bytes).to_string();
        std::fs::write(self.blob_path(&digest), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// Adds a layer, packed.
    pub(super) fn layer(self, archive: Archive) -> Self {
        let archive = archive.finish();
        let packed = gzip(&archive);
        self.packed_layer(&archive, &packed)
    }

    /// Adds a layer whose blob is said to be `archive`, packed.
    pub(super) fn packed_layer(mut self, archive: &[u8], packed: &[u8]) -> Self {
        let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
        self.layers.push(self.blob(media_type, packed));
        self.diff_ids.push(Sha::of(archive).to_string());
        self
    }

    /// Writes manifest and index; the image's reference.
    pub(super) fn tagged(&self, tag: &str) -> String {
        let mut config = self.config.clone();
        config["rootfs"] = json!({"type": "layers", "diff_ids": self.diff_ids});
        let config = config.to_string();
        let config = self.blob("application/vnd.oci.image.config.v1+json", config.as_bytes());
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": self.layers});
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let mut manifest = self.blob(media_type, manifest.to_string().as_bytes());
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        self.index(&[manifest]);
        format!("oci:{}:{tag}", self.path().display())
    }

    /// Writes the index.
    pub(super) fn index(&self, manifests: &[Value]) {
        let index = json!({"schemaVersion": 2, "manifests": manifests}).to_string();
        std::fs::write(self.path().join("index.json"), index).unwrap();
    }

    /// The first descriptor of the index.
    pub(super) fn indexed(&self) -> Value {
        let index = std::fs::read(self.path().join("index.json")).unwrap();
        let index: Value = serde_json::from_slice(&index).unwrap();
        index["manifests"][0].clone()
    }
}
