//! Images made by hand, as OCI layout directories: <https://specs.opencontainers.org/image-spec/>.
//!
//! One gzipped layer, one configuration, one manifest with the tag `latest`. The names in the layer
//! are written as they are given, also those that a well-behaved builder would refuse.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use crate::process::run;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An image on its way.
pub struct Image {
    layer: tar::Builder<Vec<u8>>,
    config: Value,
}

impl Image {
    /// An image with nothing in it.
    #[must_use]
    pub fn empty() -> Self {
        Self { layer: tar::Builder::new(Vec::new()), config: json!({}) }
    }

    /// An image with this machine's `/bin/sh` and the libraries that it needs, and nothing else.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn with_shell() -> Result<Self> {
        let libraries = run(Command::new("ldd").arg("/bin/sh"), None, Duration::from_secs(20))?;
        let libraries = libraries.success()?;
        let libraries = libraries.split_whitespace().filter(|word| word.starts_with('/'));
        let mut image = Self::empty();
        for path in std::iter::once("/bin/sh").chain(libraries) {
            let content = fs::read(path).with_context(|| format!("cannot read {path}"))?;
            image = image.file(path.trim_start_matches('/'), &content, 0o755)?;
        }
        Ok(image)
    }

    /// Adds a file.
    ///
    /// # Errors
    /// The name is too long for a tar header.
    pub fn file(self, name: &str, content: &[u8], mode: u32) -> Result<Self> {
        self.entry(name, EntryType::Regular, None, content, mode)
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// A name is too long for a tar header.
    pub fn symlink(self, name: &str, target: &str) -> Result<Self> {
        self.entry(name, EntryType::Symlink, Some(target), &[], 0o777)
    }

    fn entry(
        mut self,
        name: &str,
        kind: EntryType,
        target: Option<&str>,
        content: &[u8],
        mode: u32,
    ) -> Result<Self> {
        let mut header = Header::new_ustar();
        // Straight into the header: the library's own setters refuse what is to be tested.
        put(&mut header.as_old_mut().name, name)?;
        if let Some(target) = target {
            put(&mut header.as_old_mut().linkname, target)?;
        }
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(u64::try_from(content.len())?);
        header.set_cksum();
        self.layer.append(&header, content)?;
        Ok(self)
    }

    /// Sets the image's own configuration: `Entrypoint`, `Cmd`, `Env`, `WorkingDir`, `User`.
    #[must_use]
    pub fn config(mut self, config: Value) -> Self {
        self.config = config;
        self
    }

    /// Writes the layout and gives the reference to it, as `Container.image` takes it.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn write(self, directory: &Path) -> Result<String> {
        let blobs = directory.join("blobs/sha256");
        fs::create_dir_all(&blobs)?;
        let tar = self.layer.into_inner()?;
        let mut layer = GzEncoder::new(Vec::new(), Compression::fast());
        layer.write_all(&tar)?;
        let layer = blob(&blobs, LAYER, &layer.finish()?)?;
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": [digest(&tar)]},
        });
        let config = blob(&blobs, CONFIG, &serde_json::to_vec(&config)?)?;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
        });
        let mut manifest = blob(&blobs, MANIFEST, &serde_json::to_vec(&manifest)?)?;
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]});
        fs::write(directory.join("index.json"), serde_json::to_vec(&index)?)?;
        fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(format!("oci:{}:latest", directory.display()))
    }

    /// Changes one byte in the middle of the largest blob of a layout, which is its layer; gives the
    /// digest that the layer should have.
    ///
    /// # Errors
    /// There is no such layout.
    pub fn damage_layer(directory: &Path) -> Result<String> {
        let entries = fs::read_dir(directory.join("blobs/sha256"))?;
        let blobs = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
        let size = |path: &PathBuf| fs::metadata(path).map_or(0, |data| data.len());
        let layer = blobs.iter().max_by_key(|path| size(path)).context("a layout has blobs")?;
        let mut bytes = fs::read(layer)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        fs::write(layer, bytes)?;
        let name = layer.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(name)
    }
}

fn put(field: &mut [u8; 100], text: &str) -> Result<()> {
    ensure!(text.len() < field.len(), "{text} is too long for a tar header");
    field[..text.len()].copy_from_slice(text.as_bytes());
    Ok(())
}

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Stores a blob and gives its descriptor.
fn blob(blobs: &Path, media_type: &str, bytes: &[u8]) -> Result<Value> {
    let digest = digest(bytes);
    fs::write(blobs.join(digest.trim_start_matches("sha256:")), bytes)?;
    Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
}
